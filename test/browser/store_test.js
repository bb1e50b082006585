import assert from "node:assert/strict"
import { test } from "node:test"

import { allButTheDraft, everything } from "./support/page.js"
import { Proxy } from "./support/proxy.js"
import { World } from "./support/world.js"

const s3 = process.env.DURABLE_STASH_S3_ENDPOINT

test("while the store is down the page works on and says Saving…, then Not saved, and Saved when the store is back", async (t) => {
  const { world, store } = await onS3(t)
  const page = await (await world.open(await world.browser())).fillIn()

  store.takeDown()
  await page.add(5)
  await page.indicates("Saving…")
  await page.enlist("honey")
  await page.indicates("Not saved")
  await page.add(5)
  assert.equal(await page.text("#in-store"), "not yet everything")
  assert.equal(await page.indicator(), "Not saved")

  store.restore()
  await page.saved()
  await page.remounts(() => world.replaceNode("SIGKILL"))
  assert.equal(await page.cameBack(), "count 13, 2 on the list, 0 characters of a draft")
})

test("a connection that is cut while the store is down comes back with what is not saved yet, and says Saved once it is", async (t) => {
  const { world, store } = await onS3(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()

  store.takeDown()
  await page.add(5)
  await page.remounts(() => world.proxy.cut())
  assert.equal(await page.cameBack(), everything.replace("3", "8"))

  assert.equal(await page.text("#in-store"), "not yet everything")

  store.restore()
  await page.saved()
  await page.remounts(() => world.replaceNode("SIGKILL"))
  assert.equal(await page.cameBack(), everything.replace("3", "8"))
  assert.ok(await page.isMarked())
})

test("a page that is opened while the store is down, on a node that knows nothing, shows defaults and destroys nothing", async (t) => {
  const { world, store } = await onS3(t)
  const browser = await world.browser()
  const page = await (await world.open(browser)).fillIn()

  store.takeDown()
  await page.remounts(() => world.replaceNode("SIGKILL"))
  assert.equal(await page.cameBack(), "nothing; the store did not answer")
  assert.equal(await page.text("#count"), "0")
  await page.enlist("honey")

  store.restore()
  await page.saved()
  const other = await world.open(browser)
  assert.equal(await other.cameBack(), allButTheDraft)
  assert.deepEqual(await other.list(), ["honey"])
})

// A world whose nodes keep everything on S3, behind a proxy of its own.
async function onS3(t) {
  assert.ok(s3, "DURABLE_STASH_S3_ENDPOINT has to name an S3-compatible server: run scripts/browser")
  const store = await Proxy.start(Number(new URL(s3).port))
  t.after(() => store.stop())
  const endpoint = `http://127.0.0.1:${store.port}`
  const bucket = `browser-${crypto.randomUUID()}`
  const { ok } = await fetch(`${s3}/${bucket}`, { method: "PUT", headers: { authorization: "AWS4-HMAC-SHA256 Credential=demo/20260101/us-east-1/s3/aws4_request" } })
  assert.ok(ok, "the bucket could not be made")
  const env = {
    DEMO_S3_BUCKET: bucket,
    DEMO_S3_ENDPOINT: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "demo",
    AWS_SECRET_ACCESS_KEY: "demo",
  }
  return { store, world: await World.start(t, { env }) }
}
