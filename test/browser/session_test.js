import assert from "node:assert/strict"
import { test } from "node:test"

import { allButTheDraft } from "./support/page.js"
import { until } from "./support/wait.js"
import { World } from "./support/world.js"

const nothing = "nothing; nothing was stored"

test("a reload brings back the session's keys, at the first render, and starts a blank draft", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()

  const html = await (await page.tab.context().request.get(world.url)).text()
  assert.match(html, /<output id="count"[^>]*>3</)
  assert.match(html, /data-theme="dark"/)

  await page.reload()
  assert.equal(await page.cameBack(), allButTheDraft)
  assert.equal(await page.theme(), "dark")
  assert.equal(await page.draft(), "")
})

test("live navigation away and back keeps the session's keys and starts a blank draft", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()

  await page.follow("Scratch pad")
  await page.follow("Page")

  assert.equal(await page.cameBack(), allButTheDraft)
  assert.equal(await page.theme(), "dark")
  assert.equal(await page.draft(), "")
  assert.ok(await page.isMarked())
})

test("a draft that was begun after a live navigation comes back, and not the one from before it", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()

  await page.follow("Scratch pad")
  await page.follow("Page")
  await (await page.type("Dear Grace,")).saved()
  await page.remounts(() => world.replaceNode("SIGKILL"))

  assert.equal(await page.cameBack(), allButTheDraft.replace("0 characters", "11 characters"))
  assert.equal(await page.draft(), "Dear Grace,")
})

test("a browser whose cookie is cleared starts anew, and the page that was open does too when it comes back", async (t) => {
  const world = await World.start(t)
  const browser = await world.browser()
  const page = await (await (await world.open(browser)).fillIn()).mark()

  await browser.clearCookies()
  world.proxy.cut()
  await until(
    async () => !(await page.isMarked().catch(() => true)),
    () => "the page was not loaded anew",
  )
  await page.connected()

  assert.equal(await page.cameBack(), nothing)
  assert.equal(await page.text("#count"), "0")
  assert.equal(await (await world.open(browser)).cameBack(), nothing)
})

test("another browser sees nothing of it", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()

  const other = await world.open(await world.browser())
  assert.equal(await other.cameBack(), nothing)
  await (await other.add()).saved()

  await page.reload()
  assert.equal(await page.cameBack(), allButTheDraft)
})

test("what has expired does not come back", async (t) => {
  const world = await World.start(t, { env: { DEMO_TTL: "4000" } })
  const browser = await world.browser()
  const page = await (await world.open(browser)).fillIn()
  const { expires_at: expiry } = await world.header()
  assert.equal(await (await world.open(browser)).cameBack(), allButTheDraft)
  await page.tab.context().pages().at(-1).close()

  // Nobody looks at it, since that would keep it alive. The clock of the document is the one that counts.
  world.proxy.takeDown()
  await until(
    async () => Date.now() > (await world.header()).expires_at,
    () => "the document does not expire",
  )
  world.proxy.restore()

  assert.ok((await world.header()).expires_at >= expiry)
  assert.equal(await (await world.open(browser)).cameBack(), nothing)
})
