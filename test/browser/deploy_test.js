import assert from "node:assert/strict"
import { test } from "node:test"

import { allButTheDraft, everything } from "./support/page.js"
import { World } from "./support/world.js"

test("an idle page outlives a SIGTERM redeploy with its draft, without a page load", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()
  const osPid = await page.text("#os-pid")

  await page.remounts(() => world.replaceNode("SIGTERM"))

  assert.notEqual(await page.text("#os-pid"), osPid)
  assert.equal(await page.cameBack(), everything)
  assert.equal(await page.draft(), "Dear Ada")
  assert.ok(await page.isMarked())
})

// Bandit closes the WebSocket of a LiveView that does not answer in time with code 1000, at which LiveView loads the page anew.
test("a page that is busy during a SIGTERM redeploy is loaded anew: its session is there, its draft is blank", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()
  const osPid = await page.text("#os-pid")

  await world.proxy.forwarded(() => page.press("Keep it busy"))
  await world.replaceNode("SIGTERM")
  await page.showsOther("#os-pid", osPid)
  await page.connected()

  assert.equal(await page.isMarked(), false)
  assert.equal(await page.cameBack(), allButTheDraft)
  assert.equal(await page.theme(), "dark")
})

test("what said Saved outlives SIGKILL, the draft included, without a page load", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()

  await page.remounts(() => world.replaceNode("SIGKILL"))

  assert.equal(await page.cameBack(), everything)
  assert.equal(await page.draft(), "Dear Ada")
  assert.ok(await page.isMarked())
})

test("no count that was ever said to be in the store is lost by a SIGKILL in the midst of clicking", async (t) => {
  const world = await World.start(t)
  const page = await world.open(await world.browser())
  // The highest count that was shown, and that was shown while all was said to be in the store.
  await page.tab.evaluate(() => {
    window.saved = 0
    window.shown = 0
    const look = () => {
      const count = Number(document.querySelector("#count").textContent)
      shown = Math.max(shown, count)
      if (document.querySelector("#in-store").textContent === "everything") saved = Math.max(saved, count)
    }
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true })
    // Five more in a row, each when the last one was answered, and again once they are in the store.
    let row = 0
    setInterval(() => {
      if (document.querySelector("#in-store").textContent === "everything") row = 5
      const more = document.querySelector("#more:not(.phx-click-loading)")
      if (row > 0 && more) {
        row -= 1
        more.click()
      }
    }, 1)
  })

  for (let kill = 1; kill <= 4; kill++) {
    const before = await page.liveView()
    const start = await page.tab.evaluate(() => shown)
    await page.tab.waitForFunction((enough) => shown >= enough, start + 25)
    await world.node.stop("SIGKILL")
    const { saved, shown } = await page.tab.evaluate(() => ({ saved, shown }))
    await world.startNode()
    await page.mountedAfter(before)

    const [, count] = (await page.cameBack()).match(/^count (\d+),/)
    assert.ok(saved > start, "nothing was ever said to be saved")
    assert.ok(saved <= Number(count) && Number(count) <= shown + 1, `${saved} was saved, ${shown} was shown, ${count} came back`)
  }
})

test("a deploy of version 2 brings over what version 1 stored", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()

  await page.remounts(() => world.replaceNode("SIGTERM", { DEMO_VERSION: "2" }))

  assert.equal(await page.text("#version"), "2")
  assert.equal(await page.cameBack(), everything)
  assert.equal(await page.draft(), "Dear Ada")
  await page.tab.getByRole("checkbox", { name: "tea" }).check()
  await page.saved()
  await page.remounts(() => world.replaceNode("SIGKILL", { DEMO_VERSION: "2" }))
  assert.ok(await page.tab.getByRole("checkbox", { name: "tea" }).isChecked())
  assert.ok(await page.isMarked())
})

test("a rollback finds what version 1 had, and the next deploy what version 2 had", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()

  await page.remounts(() => world.replaceNode("SIGTERM", { DEMO_VERSION: "2" }))
  await (await page.add(10)).enlist("honey")
  await page.saved()

  await page.remounts(() => world.replaceNode("SIGTERM", { DEMO_VERSION: "1" }))
  assert.equal(await page.text("#version"), "1")
  assert.equal(await page.text("#count"), "3")
  assert.deepEqual(await page.list(), ["tea"])

  await page.remounts(() => world.replaceNode("SIGTERM", { DEMO_VERSION: "2" }))
  assert.equal(await page.text("#version"), "2")
  assert.equal(await page.text("#count"), "13")
  assert.deepEqual(await page.list(), ["honey", "tea"])
})
