import assert from "node:assert/strict"
import { test } from "node:test"

import { everything } from "./support/page.js"
import { until } from "./support/wait.js"
import { World } from "./support/world.js"

test("a page whose connection is cut comes back with count, list, theme and draft, without a page load", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()

  await page.remounts(() => world.proxy.cut())

  assert.equal(await page.cameBack(), everything)
  assert.equal(await page.theme(), "dark")
  assert.equal(await page.draft(), "Dear Ada")
  assert.deepEqual(await page.list(), ["tea"])
  assert.ok(await page.isMarked())
})

test("a LiveView that crashes comes back with count, list, theme and draft, without a page load", async (t) => {
  const world = await World.start(t)
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()

  await page.remounts(() => page.press("Crash the LiveView"))

  assert.equal(await page.cameBack(), everything)
  assert.equal(await page.theme(), "dark")
  assert.equal(await page.draft(), "Dear Ada")
  assert.ok(await page.isMarked())
})

test("a page survives twenty cuts in a row, and counts on through them", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).mark()

  for (let cut = 1; cut <= 20; cut++) {
    await (await page.add()).saved()
    await page.remounts(() => world.proxy.cut())
    assert.equal(await page.cameBack(), `count ${cut}, 0 on the list, 0 characters of a draft`)
  }
  assert.ok(await page.isMarked())
})

test("while the page is cut off the indicator does not say Saved, and what is typed then is saved once it is back", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()
  const before = await page.liveView()

  world.proxy.takeDown()
  await page.indicates("Not connected")
  await page.type(" Lovelace")
  assert.equal(await page.indicator(), "Not connected")
  world.proxy.restore()
  await page.mountedAfter(before)
  await page.saved()

  assert.equal(await page.draft(), "Dear Ada Lovelace")
  await page.remounts(() => world.proxy.cut())
  assert.equal(await page.cameBack(), "count 3, 1 on the list, 17 characters of a draft")
})

test("a click that reaches the LiveView of a lost connection, after the page has mounted again, changes nothing", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()
  const before = await page.liveView()

  world.proxy.hold()
  await page.press("Add 1,000, one stash each")
  const late = world.proxy.lose()
  await page.mountedAfter(before)
  await (await page.add()).saved()

  // The zombie lives, has been told of the new count as a synced key, and answers.
  const [{ node }] = late
  let answer = ""
  node.on("data", (bytes) => (answer += bytes))
  for (const { bytes } of late) node.write(bytes)
  await until(
    () => answer.includes("1004"),
    () => "the LiveView of the lost connection has not answered",
  )

  await page.remounts(() => world.proxy.cut())
  assert.equal(await page.cameBack(), "count 4, 1 on the list, 8 characters of a draft")
  await page.reload()
  assert.equal(await page.text("#count"), "4")
})
