// Phoenix and LiveView are the globals of the packages' own scripts. What initLiveStash adds to the connect params tells tabs apart.
import initLiveStash from "/vendor/live-stash.js"

const csrfToken = document.querySelector("meta[name='csrf-token']").content

window.liveSocket = new LiveView.LiveSocket("/live", Phoenix.Socket, {
  params: initLiveStash({ _csrf_token: csrfToken }),
})
window.liveSocket.connect()
