// One test's world: a store of its own, nodes, a proxy before them, and browsers.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import path from "node:path"
import { after } from "node:test"

import { chromium } from "playwright-core"

import { Node } from "./node.js"
import { Page } from "./page.js"
import { Proxy } from "./proxy.js"
import { until } from "./wait.js"

export const launch = {
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
}

// One browser process serves all tests of a file. Each test's contexts are its own.
let running

function chromiumProcess() {
  return (running ??= chromium.launch(launch))
}

after(async () => (await running)?.close())

export class World {
  nodes = []
  #closing = []

  // `env` goes to every node. Without `nodes` there is one.
  static async start(t, { env = {}, nodes = 1 } = {}) {
    const world = new World()
    t.after(() => world.#end())
    world.data = await mkdtemp(path.join(tmpdir(), "durable_stash_browser."))
    world.#closing.push(() => rm(world.data, { recursive: true, force: true }))
    world.env = { DEMO_DATA: world.data, DEMO_SECRET: "the browser tests' nodes have one secret, over every restart of theirs", ...env }
    for (let n = 0; n < nodes; n++) await world.startNode()
    world.proxy = await Proxy.start(...world.nodes.map((node) => node.port))
    world.#closing.push(() => world.proxy.stop())
    return world
  }

  get url() {
    return `http://localhost:${this.proxy.port}`
  }

  get node() {
    return this.nodes.at(-1)
  }

  async startNode(env = {}) {
    const node = await Node.start({ ...this.env, ...env })
    this.#closing.push(() => node.stop("SIGKILL"))
    this.nodes.push(node)
    if (this.proxy) this.proxy.ports = [node.port]
    return node
  }

  // A deploy, or a crash: the node ends, and only then the next one starts.
  async replaceNode(signal, env = {}) {
    await this.node.stop(signal)
    return this.startNode(env)
  }

  // Another browser: cookies, cache and storage of its own.
  async browser() {
    const context = await (await chromiumProcess()).newContext()
    this.#closing.push(() => context.close())
    return context
  }

  // A new tab, with the page in it.
  async open(browser, at = "/") {
    return new Page(await browser.newPage(), this.url).open(at)
  }

  // What the header of the only document in the store says.
  async header() {
    const text = await this.#document()
    return JSON.parse(text.slice(0, text.indexOf("\n")))
  }

  // Waits until this text is in the only document of the store.
  async stores(text) {
    await until(
      async () => (await this.#document()).includes(JSON.stringify(text)),
      () => `the store has no ${text}`,
    )
  }

  async #document() {
    const files = await readdir(this.data, { recursive: true, withFileTypes: true })
    const documents = files.filter((file) => file.isFile() && /^[0-9a-f]{64}$/.test(file.name))
    if (documents.length !== 1) throw new Error(`the store has ${documents.length} documents`)
    return readFile(path.join(documents[0].parentPath, documents[0].name), "utf8")
  }

  onEnd(close) {
    this.#closing.push(close)
  }

  async #end() {
    for (const close of this.#closing.reverse()) await close()
  }
}
