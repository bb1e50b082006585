import assert from "node:assert/strict"
import { readFile, writeFile } from "node:fs/promises"
import path from "node:path"
import { test } from "node:test"

import { everything } from "./support/page.js"
import { World } from "./support/world.js"

test("the page's own buttons cut it off, redeploy its server and kill it, and it comes back each time", async (t) => {
  const world = await World.start(t)
  // The file lies beside what the store keeps, under a name that no document has.
  const file = path.join(world.data, "next_version")
  await writeFile(file, "1")
  world.env.DEMO_NEXT_VERSION_FILE = file
  await world.replaceNode("SIGKILL")
  const page = await (await (await world.open(await world.browser())).fillIn()).mark()
  // What `make app` does when the server has ended.
  const follow = async () => {
    const ended = await world.node.stop(0)
    await world.startNode({ DEMO_VERSION: await readFile(file, "utf8") })
    return ended
  }

  await page.remounts(() => page.press("Drop the connection"))
  assert.equal(await page.cameBack(), everything)

  await page.remounts(async () => {
    await page.press("Deploy version 2")
    assert.equal(await follow(), 0)
  })
  assert.equal(await page.text("#version"), "2")
  assert.equal(await page.cameBack(), everything)

  await page.remounts(async () => {
    await page.press("Kill the server")
    assert.equal(await follow(), "SIGKILL")
  })
  assert.equal(await page.text("#version"), "2")
  assert.equal(await page.cameBack(), everything)
  assert.ok(await page.isMarked())
})

test("where nothing would start the server again, the page does not offer to end it, and does not end it when asked to", async (t) => {
  const world = await World.start(t)
  const page = await world.open(await world.browser())

  assert.equal(await page.tab.getByRole("button", { name: "Kill the server" }).count(), 0)
  assert.equal(await page.tab.getByRole("button", { name: /^Deploy/ }).count(), 0)
  const more = page.tab.locator("#more")
  for (const event of ["kill", "deploy"]) {
    await more.evaluate((button, event) => button.setAttribute("phx-click", event), event)
    await page.press("One more")
    await page.answered()
  }
  await more.evaluate((button) => button.setAttribute("phx-click", "count"))
  await page.add()
  assert.equal(world.node.ended, undefined)
})

test("all of it can be done with the keyboard alone", async (t) => {
  const world = await World.start(t)
  const page = await world.open(await world.browser())
  const { keyboard } = page.tab
  const at = (selector) => page.tab.evaluate((selector) => document.activeElement?.matches(selector), selector)
  const tabTo = async (selector) => {
    for (let step = 0; step < 30 && !(await at(selector)); step++) await keyboard.press("Tab")
    assert.ok(await at(selector), `${selector} cannot be reached`)
  }

  await tabTo("#theme input")
  await keyboard.press("ArrowRight")
  await page.tab.waitForSelector('[data-theme="light"]')
  await tabTo("#more")
  await keyboard.press("Enter")
  await page.shows("#count", "1")
  await tabTo("#draft")
  await keyboard.type("tea")
  await tabTo("#add")
  await keyboard.press("Space")
  await page.shows("#items li > :first-child", "tea")
  await tabTo("#crash")
  await page.saved()
  await page.remounts(() => keyboard.press("Enter"))

  assert.equal(await page.cameBack(), "count 1, 1 on the list, 0 characters of a draft")
  assert.equal(await page.theme(), "light")
})

test("the figures are the store's: its revision, and a few PUTs for a thousand stashes", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()
  await page.shows("#revision", String((await world.header()).rev))
  const puts = Number(await page.text("#puts"))

  await page.press("Add 1,000, one stash each")
  await page.shows("#count", "1003")
  await page.saved()

  const { rev } = await world.header()
  await page.shows("#revision", String(rev))
  const burst = Number(await page.text("#puts")) - puts
  assert.ok(burst >= 1 && burst <= 20, `${burst} PUTs`)
})
