/**
 * Keeps the page, its runtime and its bundle, so that they work offline after the first visit.
 * `cache.js` says which files there are, and a version that changes when one of them does.
 */

importScripts("cache.js");
const { version, files } = self.ONETRUNK;
const PREFIX = `onetrunk ${self.registration.scope} `;
const NAME = PREFIX + version;

self.addEventListener("install", (event) => {
  // What the server says is new is fetched anew; what this visit has fetched already is not.
  const requests = files.map((file) => new Request(file, { cache: "no-cache" }));
  const kept = caches.open(NAME).then((cache) => cache.addAll(requests));
  event.waitUntil(kept.then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const cleared = caches.keys().then((names) => {
    const old = names.filter((name) => name.startsWith(PREFIX) && name !== NAME);
    return Promise.all(old.map((name) => caches.delete(name)));
  });
  event.waitUntil(cleared.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const answer = caches.open(NAME).then(async (cache) => {
    const kept = await cache.match(event.request, { ignoreSearch: event.request.mode === "navigate" });
    return kept ?? fetch(event.request);
  });
  event.respondWith(answer);
});
