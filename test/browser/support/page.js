// The demo's page in a tab, as somebody who uses it sees and works it.

import { patience, until } from "./wait.js"

export class Page {
  constructor(tab, url) {
    this.tab = tab
    this.url = url
    tab.setDefaultTimeout(patience)
    tab.setDefaultNavigationTimeout(patience)
  }

  async open(at = "/") {
    await this.tab.goto(this.url + at)
    return this.connected()
  }

  async reload() {
    await this.tab.reload()
    return this.connected()
  }

  async connected() {
    await this.tab.waitForSelector("[data-phx-main].phx-connected")
    return this
  }

  // -- What it shows ----------------------------------------------------------------------------------------------------

  async text(selector) {
    return (await this.tab.locator(selector).textContent()).trim()
  }

  // Waits until the page shows this.
  async shows(selector, text) {
    let shown
    await until(
      async () => (shown = await this.#look(selector)) === text,
      () => `${selector} shows ${JSON.stringify(shown)} and not ${JSON.stringify(text)}`,
    )
    return this
  }

  // Waits until what was shown before is gone.
  async showsOther(selector, text) {
    await until(
      async () => ![text, undefined].includes(await this.#look(selector)),
      () => `${selector} still shows ${JSON.stringify(text)}`,
    )
    return this
  }

  // Waits until everything is in the store, and the page has had its answer to everything it sent: a Saved from before that
  // says nothing.
  async saved() {
    await this.answered()
    await this.shows("#in-store", "everything")
    return this.indicates("Saved")
  }

  // Waits until the page has had its answer to everything it sent.
  async answered() {
    const waits = this.tab.locator(".phx-click-loading, .phx-change-loading, .phx-submit-loading")
    await until(
      async () => (await waits.count()) === 0,
      () => "the page still waits for an answer",
    )
    return this
  }

  // Waits until the indicator says this.
  async indicates(word) {
    let shown
    await until(
      async () => (shown = await this.indicator()) === word,
      () => `the indicator says ${JSON.stringify(shown)} and not ${word}`,
    )
    return this
  }

  // The one word of the indicator that can be seen.
  indicator() {
    return this.#evaluate(() => {
      const words = document.querySelectorAll("#status > *")
      const seen = [...words].filter((word) => word.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      return seen.map((word) => word.textContent.trim()).join()
    })
  }

  // The items of the list, newest first.
  list() {
    return this.tab.locator("#items li > :first-child").allTextContents().then((items) => items.map((item) => item.trim()))
  }

  draft() {
    return this.tab.locator("#draft").inputValue()
  }

  // What the mount that this page lives in got back from the store. No browser can have filled this in.
  cameBack() {
    return this.text("#came-back")
  }

  // The process that the page lives in, unlike any other of its node and of other nodes.
  async liveView() {
    return `${await this.#look("#live-view")} of ${await this.#look("#os-pid")}`
  }

  // Waits until the page lives in another LiveView than in this one.
  async mountedAfter(before) {
    await until(
      async () => (await this.liveView()) !== before,
      () => `the page still lives in ${before}`,
    )
    return this.connected()
  }

  // Runs what ends the page's LiveView, and returns when it lives in a new one.
  async remounts(breakIt) {
    const before = await this.liveView()
    await breakIt()
    return this.mountedAfter(before)
  }

  // Whether this is still the document it was when `mark` was called: no page load.
  async mark() {
    await this.tab.evaluate(() => (window.marked = true))
    return this
  }

  isMarked() {
    return this.tab.evaluate(() => window.marked === true)
  }

  // -- What one does with it --------------------------------------------------------------------------------------------

  press(name) {
    return this.tab.getByRole("button", { name }).click()
  }

  // Live navigation, by the link of this name.
  async follow(name) {
    await this.tab.getByRole("link", { name, exact: true }).click()
    return this.at(name)
  }

  // Waits until it is the page that this link leads to.
  async at(name) {
    const link = this.tab.getByRole("link", { name, exact: true })
    await until(
      async () => (await link.getAttribute("aria-current")) === "page",
      () => `there was no navigation to ${name}`,
    )
    return this.connected()
  }

  // LiveView ignores a click on a button that still waits for the answer to the last one.
  async add(times = 1) {
    const before = Number(await this.text("#count"))
    for (let time = 1; time <= times; time++) {
      await this.press("One more")
      await this.shows("#count", String(before + time))
    }
    return this
  }

  async type(text) {
    await this.tab.locator("#draft").pressSequentially(text)
    return this
  }

  async enlist(text) {
    await this.tab.locator("#draft").fill(text)
    await this.press("Put it on the list")
    await until(
      async () => (await this.list()).includes(text),
      () => `the list has no ${text}`,
    )
    return this
  }

  async choose(theme) {
    await this.tab.getByText(theme, { exact: true }).click()
    await this.tab.waitForSelector(`[data-theme="${theme.toLowerCase()}"]`)
    return this
  }

  theme() {
    return this.tab.locator("#theme").getAttribute("data-theme")
  }

  // A page with all four in it, saved.
  async fillIn() {
    await this.add(3)
    await this.enlist("tea")
    await this.choose("Dark")
    await this.type("Dear Ada")
    return this.saved()
  }

  #look(selector) {
    return this.#evaluate((selector) => document.querySelector(selector)?.textContent.trim(), selector)
  }

  // Undefined while one document gives way to the next.
  async #evaluate(look, argument) {
    try {
      return await this.tab.evaluate(look, argument)
    } catch (error) {
      if (/context was destroyed|navigation/.test(error.message)) return undefined
      throw error
    }
  }
}

// What a page that was filled in gets back.
export const everything = "count 3, 1 on the list, 8 characters of a draft"
// … when its draft is another page's.
export const allButTheDraft = "count 3, 1 on the list, 0 characters of a draft"
