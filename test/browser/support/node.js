// A node that runs the demo app, as an operating system process that can be stopped in every way.

import { spawn } from "node:child_process"
import net from "node:net"

import { until } from "./wait.js"

// Starts a node in the foreground, on $PORT. Its process has to become the node's own: the tests send it signals.
const command = process.env.DURABLE_STASH_DEMO_START

export class Node {
  #process
  #output = ""
  #exit

  // `env` is what demo/config/runtime.exs reads.
  static async start(env) {
    if (!command) throw new Error("DURABLE_STASH_DEMO_START has to hold the command that starts a node: run scripts/browser")
    const node = new Node()
    node.port = await freePort()
    node.#process = spawn("bash", ["-c", `exec ${command}`], {
      env: { ...process.env, PORT: String(node.port), ...env },
      stdio: ["ignore", "pipe", "pipe"],
    })
    for (const stream of [node.#process.stdout, node.#process.stderr]) stream.on("data", (text) => (node.#output += text))
    node.#exit = new Promise((resolve) => node.#process.on("exit", (code, signal) => resolve((node.ended = signal ?? code))))
    await until(
      () => {
        if (node.ended !== undefined) throw new Error(`the node ended with ${node.ended}:\n${node.#output}`)
        return answers(node.port)
      },
      () => `the node did not answer:\n${node.#output}`,
    )
    return node
  }

  get pid() {
    return this.#process.pid
  }

  get output() {
    return this.#output
  }

  // Sends the signal, and returns when the process is gone.
  async stop(signal) {
    if (this.ended === undefined) this.#process.kill(signal)
    return this.#exit
  }
}

async function answers(port) {
  try {
    return (await fetch(`http://127.0.0.1:${port}/demo.css`)).ok
  } catch {
    return false
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
