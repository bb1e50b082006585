// Waiting for what a test can see. Nothing here waits for time to pass.

import assert from "node:assert/strict"

// How long a thing may take on a slow machine before the test has failed.
export const patience = 30_000

// Asks again and again until `condition` returns something true, and returns that.
export async function until(condition, what) {
  const deadline = Date.now() + patience
  for (;;) {
    const result = await condition()
    if (result) return result
    if (Date.now() > deadline) assert.fail(`${what()} after ${patience} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
