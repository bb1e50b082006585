import assert from "node:assert/strict"
import { test } from "node:test"

import { allButTheDraft, everything, Page } from "./support/page.js"
import { World } from "./support/world.js"

test("a count of mounts that is no positive integer makes no rejoin", async (t) => {
  const world = await World.start(t)
  const { page, forge } = await forger(world, await world.browser())
  await (await page.open()).fillIn()

  for (const mounts of ["1", -3, 0, 1.5, null, true, { a: 1 }, [2]]) {
    await page.remounts(() => world.proxy.cut())
    assert.equal(await page.cameBack(), everything)
    await forge((params) => (params._mounts = mounts))
    await page.remounts(() => world.proxy.cut())
    assert.equal(await page.cameBack(), allButTheDraft, `_mounts: ${JSON.stringify(mounts)}`)

    // The browser has the draft, and sends it again.
    await forge(null)
    await page.saved()
  }
})

test("a stash id that is none gets no draft, and the page works on", async (t) => {
  const world = await World.start(t)
  const browser = await world.browser()
  await (await world.open(browser)).fillIn()

  for (const id of [{ a: 1 }, ["x"], 7, null, "", "../../etc/passwd", "x".repeat(5_000), "\u0000".repeat(20)]) {
    const { page, forge } = await forger(world, browser)
    await (await (await page.open()).mark()).type("Dear Ada")
    await page.saved()
    await page.remounts(() => world.proxy.cut())
    assert.equal(await page.cameBack(), everything)

    await forge((params) => (params.liveStash = { stashId: id }))
    await page.remounts(() => world.proxy.cut())
    assert.equal(await page.cameBack(), allButTheDraft, `stashId: ${JSON.stringify(id)}`)
    await page.saved()
    assert.ok(await page.isMarked())
    await page.tab.close()
  }
})

test("a fresh page that claims to be a rejoin gets no draft, and leaves those of other pages alone", async (t) => {
  const world = await World.start(t)
  const browser = await world.browser()
  const page = await (await world.open(browser)).fillIn()

  const { page: other, forge } = await forger(world, browser)
  await forge((params) => (params._mounts = 7))
  await other.open()

  assert.equal(await other.cameBack(), allButTheDraft)
  await page.remounts(() => world.proxy.cut())
  assert.equal(await page.cameBack(), everything)
})

test("another browser that presents a tab's stash id gets nothing of it, and changes nothing of it", async (t) => {
  const world = await World.start(t)
  const { page, forge: watch } = await forger(world, await world.browser())
  let stolen
  await watch((params) => (stolen = params.liveStash.stashId))
  await (await page.open()).fillIn()
  await page.remounts(() => world.proxy.cut())
  assert.match(stolen, /^[\w-]{16,}$/)

  const { page: thief, forge } = await forger(world, await world.browser())
  await forge((params) => Object.assign(params, { _mounts: 2, liveStash: { stashId: stolen } }))
  await thief.open()
  assert.equal(await thief.cameBack(), "nothing; nothing was stored")
  await (await thief.type("Mine now")).saved()

  await page.remounts(() => world.proxy.cut())
  assert.equal(await page.cameBack(), everything)
})

// A page in a new tab, and what changes the params that it says it joins with.
async function forger(world, browser) {
  const page = new Page(await browser.newPage(), world.url)
  let change
  const forged = (message) => {
    const [joinRef, ref, topic, event, payload] = JSON.parse(message)
    if (event === "phx_join" && payload.params) change?.(payload.params)
    return JSON.stringify([joinRef, ref, topic, event, payload])
  }
  await page.tab.routeWebSocket("**/live/websocket**", (socket) => {
    const server = socket.connectToServer()
    socket.onMessage((message) => server.send(forged(message)))
  })
  return { page, forge: (how) => (change = how) }
}
