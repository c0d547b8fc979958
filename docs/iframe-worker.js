// Browsers run no workers for pages that are opened from a disk. There, a frame takes the worker's
// place, so that the search of this site works without a server.
"use strict";

if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = "<!doctype html><body></body>";
      this.frame.addEventListener("load", () => this.begin(address), { once: true });
      document.documentElement.append(this.frame);
    }

    begin(address) {
      const inside = this.frame.contentWindow;
      const run = (source) => new Promise((loaded) => {
        const script = inside.document.createElement("script");
        script.src = source;
        script.onload = script.onerror = loaded;
        inside.document.body.append(script);
      });
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...sources) => Promise.all(sources.map(run));
      run(address).then(() => {
        this.inside = inside;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      });
    }

    postMessage(data) {
      if (!this.inside) this.waiting.push(data);
      else this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data }));
    }
  };
}
