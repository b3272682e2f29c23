// A browser starts no Worker for a page that was opened from the disk: the search then runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inner = frame.contentWindow
      inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = frame.contentDocument.createElement("script")
      script.src = new URL(url, location)
      this.ready = new Promise(done => script.addEventListener("load", done))
      this.postMessage = data => this.ready.then(() => inner.dispatchEvent(new MessageEvent("message", { data })))
      frame.contentDocument.body.append(script)
    }
    terminate() {}
  }
}
