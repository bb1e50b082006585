import assert from "node:assert/strict"
import { test } from "node:test"

import { World } from "./support/world.js"

test("with auto_stash what is typed is saved by itself, and outlives SIGKILL", async (t) => {
  const world = await World.start(t)
  const pad = await world.open(await world.browser(), "/pad")

  await pad.tab.locator("#pad").pressSequentially("A line without a stash.")
  await world.stores("A line without a stash.")
  await world.node.stop("SIGKILL")
  await world.startNode()

  const other = await world.open(pad.tab.context(), "/pad")
  assert.equal(await other.tab.locator("#pad").inputValue(), "A line without a stash.")
})

test("with auto_stash live navigation right after typing keeps the last letter", async (t) => {
  const world = await World.start(t)
  const pad = await world.open(await world.browser(), "/pad")

  await pad.tab.locator("#pad").pressSequentially("to the last letter")
  await pad.follow("Page")
  await pad.follow("Scratch pad")

  assert.equal(await pad.tab.locator("#pad").inputValue(), "to the last letter")
})

test("with auto_stash a page that is cut off in mid-word saves the whole word when it is back", async (t) => {
  const world = await World.start(t)
  const pad = await (await world.open(await world.browser(), "/pad")).mark()

  await pad.tab.locator("#pad").pressSequentially("half a ")
  world.proxy.takeDown()
  await pad.indicates("Not connected")
  await pad.tab.locator("#pad").pressSequentially("word")
  world.proxy.restore()
  await pad.connected()
  await world.stores("half a word")

  assert.ok(await pad.isMarked())
  const other = await world.open(pad.tab.context(), "/pad")
  assert.equal(await other.tab.locator("#pad").inputValue(), "half a word")
})

test("what a callback changed before it navigated is saved", async (t) => {
  const world = await World.start(t)
  const pad = await (await world.open(await world.browser(), "/pad")).mark()
  await pad.tab.locator("#pad").pressSequentially("Nobody needs this.")
  await world.stores("Nobody needs this.")

  await pad.press("Clear it, and go back to the page")
  await pad.at("Page")
  await pad.follow("Scratch pad")

  assert.equal(await pad.tab.locator("#pad").inputValue(), "")
  assert.ok(await pad.isMarked())
})
