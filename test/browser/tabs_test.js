import assert from "node:assert/strict"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { test } from "node:test"

import { chromium } from "playwright-core"

import { allButTheDraft, everything, Page } from "./support/page.js"
import { launch, World } from "./support/world.js"

test("a duplicated tab starts with a blank draft, and leaves the first one its own", async (t) => {
  const world = await World.start(t)
  const browser = await browserThatDuplicates(world)
  const first = await (await world.open(browser.context)).fillIn()

  const second = await browser.duplicate(first)
  assert.equal(await second.cameBack(), allButTheDraft)
  assert.equal(await second.draft(), "")
  await (await second.type("Something else")).saved()

  await first.remounts(() => world.replaceNode("SIGKILL"))
  await second.connected()
  assert.equal(await first.cameBack(), everything)
  assert.equal(await first.draft(), "Dear Ada")
  assert.equal(await second.draft(), "Something else")
})

test("a page that one comes back to, after a page load and without bfcache, has its session and a blank draft", async (t) => {
  const world = await World.start(t)
  const page = await (await world.open(await world.browser())).fillIn()

  await page.tab.goto(world.url + "/demo.css")
  await page.tab.goBack()
  await page.connected()

  assert.equal(await page.cameBack(), allButTheDraft)
  assert.equal(await page.draft(), "")
})

test("two tabs have two drafts, and each gets its own back", async (t) => {
  const world = await World.start(t)
  const browser = await world.browser()
  const ada = await world.open(browser)
  await (await ada.type("Dear Ada")).saved()
  const grace = await world.open(browser)
  assert.equal(await grace.draft(), "")
  await (await grace.type("Dear Grace, ")).saved()
  const [adas, graces] = [await ada.liveView(), await grace.liveView()]

  await world.replaceNode("SIGKILL")
  await Promise.all([ada.mountedAfter(adas), grace.mountedAfter(graces)])

  assert.match(await ada.cameBack(), / 8 characters of a draft$/)
  assert.match(await grace.cameBack(), / 12 characters of a draft$/)
  assert.equal(await ada.draft(), "Dear Ada")
  assert.equal(await grace.draft(), "Dear Grace, ")
})

test("two tabs that write different keys keep both", async (t) => {
  const world = await World.start(t)
  const browser = await world.browser()
  const one = await (await world.open(browser)).fillIn()
  const two = await world.open(browser)

  await Promise.all([one.add(5), two.enlist("honey")])
  await Promise.all([one.saved(), two.saved()])

  const three = await world.open(browser)
  assert.equal(await three.cameBack(), "count 8, 2 on the list, 0 characters of a draft")
})

test("what is synced in one tab is shown in the other one at once, on another page too", async (t) => {
  const world = await World.start(t)
  const browser = await world.browser()
  const one = await world.open(browser)
  const two = await world.open(browser)
  const pad = await world.open(browser, "/pad")

  await (await one.add(2)).enlist("tea")
  await two.shows("#count", "2")
  await two.shows("#items li > :first-child", "tea")
  await two.choose("Dark")
  await one.tab.waitForSelector('[data-theme="dark"]')
  await pad.tab.waitForSelector('[data-theme="dark"]')

  // It counts on from what it was told.
  await (await two.add(1)).saved()
  await one.shows("#count", "3")
  await one.reload()
  assert.equal(await one.cameBack(), "count 3, 1 on the list, 0 characters of a draft")
})

// What the browser's own "Duplicate" does: an extension may ask for it.
async function browserThatDuplicates(world) {
  const extension = await mkdtemp(path.join(tmpdir(), "durable_stash_extension."))
  await writeFile(
    path.join(extension, "manifest.json"),
    JSON.stringify({ manifest_version: 3, name: "Duplicate", version: "1", background: { service_worker: "worker.js" }, permissions: ["tabs"] }),
  )
  await writeFile(path.join(extension, "worker.js"), "")
  const context = await chromium.launchPersistentContext("", {
    ...launch,
    ignoreDefaultArgs: ["--disable-extensions"],
    args: [...launch.args, `--disable-extensions-except=${extension}`, `--load-extension=${extension}`],
  })
  world.onEnd(() => rm(extension, { recursive: true, force: true }))
  world.onEnd(() => context.close())
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"))

  return {
    context,
    async duplicate(page) {
      const opened = context.waitForEvent("page")
      await worker.evaluate(async (url) => {
        const [tab] = await chrome.tabs.query({ url: url + "/*" })
        await chrome.tabs.duplicate(tab.id)
      }, world.url)
      return new Page(await opened, page.url).connected()
    },
  }
}
