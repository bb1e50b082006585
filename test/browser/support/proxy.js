// A TCP proxy between the browser and the nodes, or between a node and its store. Here the network fails.

import net from "node:net"

import { until } from "./wait.js"

export class Proxy {
  #server = net.createServer({ allowHalfOpen: true }, (client) => this.#accept(client))
  #pairs = new Set()
  #held = null
  #down = false
  #turn = 0

  // Connections go to these ports of this machine, in turn.
  constructor(ports) {
    this.ports = ports
  }

  static async start(...ports) {
    const proxy = new Proxy(ports)
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve))
    return proxy
  }

  get port() {
    return this.#server.address().port
  }

  // Both ends of every connection are reset: a cable that is pulled and put back.
  cut() {
    for (const { client, node } of this.#pairs) {
      client.resetAndDestroy()
      node.resetAndDestroy()
    }
  }

  // As `cut`, and nobody gets through before `restore`.
  takeDown() {
    this.#down = true
    this.cut()
  }

  restore() {
    this.#down = false
  }

  // What browsers send stays here from now on.
  hold() {
    this.#held = []
  }

  // Browsers lose their connections, the nodes do not notice. Returns the connections that live on, with what was held.
  lose() {
    const lost = this.#held
    this.#held = null
    for (const pair of this.#pairs) {
      pair.lost = true
      pair.client.resetAndDestroy()
    }
    return lost
  }

  // Runs what makes the browser send something, and returns when the node has been sent it.
  async forwarded(send) {
    let written = false
    this.#onWritten = () => (written = true)
    await send()
    await until(
      () => written,
      () => "the node was sent nothing",
    )
  }
  #onWritten = () => {}

  async stop() {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(client) {
    if (this.#down) return client.resetAndDestroy()

    const node = net.connect(this.ports[this.#turn++ % this.ports.length], "127.0.0.1")
    const pair = { client, node, lost: false }
    this.#pairs.add(pair)

    client.on("data", (bytes) => {
      if (this.#held) this.#held.push({ node, bytes })
      else node.write(bytes, () => this.#onWritten())
    })
    node.on("data", (bytes) => {
      if (!pair.lost) client.write(bytes)
    })
    client.on("end", () => node.end())
    node.on("end", () => client.end())
    // A reset is what this is for; the close that follows it is what counts.
    client.on("error", () => {})
    node.on("error", () => {})
    client.on("close", () => {
      if (!pair.lost) node.destroy()
    })
    node.on("close", () => {
      client.destroy()
      this.#pairs.delete(pair)
    })
  }
}
