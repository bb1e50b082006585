import assert from "node:assert/strict"
import { test } from "node:test"

import { everything } from "./support/page.js"
import { until } from "./support/wait.js"
import { World } from "./support/world.js"

test("a page behind a round-robin proxy has one state, whichever of two nodes it lives on", async (t) => {
  const world = await World.start(t, { nodes: 2 })
  const page = await (await world.open(await world.browser())).fillIn()
  const seen = new Map([[await page.text("#os-pid"), 0]])

  for (let count = 4; count <= 9; count++) {
    await page.remounts(() => world.proxy.cut())
    assert.equal(await page.cameBack(), everything.replace("3", String(count - 1)))
    assert.equal(await page.draft(), "Dear Ada")
    const osPid = await page.text("#os-pid")
    seen.set(osPid, (seen.get(osPid) ?? 0) + 1)
    await (await page.add()).saved()
  }
  assert.equal(seen.size, 2, "both nodes have served the page")
})

test("a page whose node is killed goes on, on the other one", async (t) => {
  const world = await World.start(t, { nodes: 2 })
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()
  const osPid = await page.text("#os-pid")
  const node = world.nodes.find((node) => String(node.pid) === osPid)
  const other = world.nodes.find((node) => String(node.pid) !== osPid)

  await page.remounts(() => node.stop("SIGKILL"))

  assert.equal(await page.text("#os-pid"), String(other.pid))
  assert.equal(await page.cameBack(), everything)
  assert.ok(await page.isMarked())
})

test("two tabs on two nodes that write different keys keep both", async (t) => {
  const world = await World.start(t, { nodes: 2 })
  const browser = await world.browser()
  const one = await (await world.open(browser)).fillIn()
  const two = await openOnTheOtherNode(world, browser, one)

  await Promise.all([one.add(5), two.enlist("honey")])
  await Promise.all([one.saved(), two.saved()])

  const three = await world.open(browser)
  assert.equal(await three.cameBack(), "count 8, 2 on the list, 0 characters of a draft")
})

test("two tabs on two nodes that open on an empty session keep what each has changed", async (t) => {
  const world = await World.start(t, { nodes: 2 })
  const browser = await world.browser()
  const one = await world.open(browser)
  const two = await openOnTheOtherNode(world, browser, one)

  await (await one.add(5)).saved()
  await (await two.enlist("honey")).saved()

  const three = await world.open(browser)
  assert.equal(await three.cameBack(), "count 5, 1 on the list, 0 characters of a draft")
})

async function openOnTheOtherNode(world, browser, one) {
  const two = await world.open(browser)
  await until(
    async () => {
      if ((await one.text("#os-pid")) !== (await two.text("#os-pid"))) return true
      await two.reload()
    },
    () => "both tabs stay on one node",
  )
  return two
}
