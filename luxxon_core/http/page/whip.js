// WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) in a browser: one connection, made anew whenever it fails.

const GATHER_MS = 1000;
const ANSWER_MS = 10000;
const CONNECT_MS = 10000;
const DISCONNECTED_MS = 4000;
const PAUSES_MS = [500, 1000, 2000, 4000];

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Refused extends Error {
  constructor(answer) {
    super(`refused with ${answer.status}`);
    this.status = answer.status;
    this.retryAfter = Number(answer.headers.get("Retry-After")) || 0;
  }
}

// The servers of Link headers with rel="ice-server" (RFC 9725 §4.6): they serve the next attempt.
function iceServers(header) {
  const text = (part, name) => part.match(new RegExp(`${name}="?([^";,]*)`))?.[1];
  return (header ?? "").split(/,\s*(?=<)/).flatMap((part) => {
    const url = part.match(/^\s*<([^>]+)>/)?.[1];
    if (!url || !/rel="?ice-server/.test(part)) return [];
    const username = text(part, "username"), credential = text(part, "credential");
    return [{ urls: [url], ...(username && { username, credential }) }];
  });
}

function gathered(peer) {
  const complete = new Promise((done) => {
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done();
  });
  return peer.iceGatheringState === "complete" ? undefined : Promise.race([complete, pause(GATHER_MS)]);
}

// Puts codecs of one name first, for both sides to agree on.
export function prefer(transceiver, name, capabilities) {
  const all = capabilities?.codecs ?? [];
  const first = all.filter((one) => one.mimeType.toLowerCase() === `video/${name}`);
  if (first.length) transceiver.setCodecPreferences?.([...first, ...all.filter((one) => !first.includes(one))]);
}

export class Stream {
  // address: an async function that tells the URL of the endpoint; fill: adds tracks or transceivers to a
  // new peer; tell: hears "connecting", "live", "waiting" or "reconnecting", and "failed" with an error that
  // another attempt would not heal. open: of a publisher, an async function that tells whether it is wanted yet.
  constructor(address, fill, tell, open) {
    Object.assign(this, { address, fill, tell, open, peer: null, resource: null, gone: false });
    Object.assign(this, { running: false, servers: [] });
    this.renew = () => {};
  }

  async run() {
    this.running = true;
    for (let failures = 0, before = "connecting"; this.running; ) {
      this.tell(before);
      let wait = 0;
      try {
        if (await this.#once()) failures = 0;
        before = "reconnecting";
      } catch (error) {
        if (!this.running) break;
        if (error.final) { this.tell("failed", error); break; }
        const busy = error instanceof Refused && [409, 429, 503].includes(error.status);
        before = busy && error.status === 409 ? "waiting" : "reconnecting";
        wait = busy ? error.retryAfter * 1000 : 0;
      }
      failures += 1;
      if (this.running) await pause(wait || PAUSES_MS[Math.min(failures, PAUSES_MS.length) - 1]);
    }
    this.running = false;
  }

  // One connection from its offer to its end; whether it ever carried media.
  async #once() {
    const peer = (this.peer = new RTCPeerConnection({ iceServers: this.servers, bundlePolicy: "max-bundle" }));
    try {
      const url = await this.address();
      await this.fill(peer);
      await peer.setLocalDescription();
      await gathered(peer);
      const answer = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: peer.localDescription.sdp,
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      if (!answer.ok) throw new Refused(answer);
      const location = answer.headers.get("Location");
      this.resource = location && new URL(location, url).href;
      this.servers = iceServers(answer.headers.get("Link"));
      this.gone = false;
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      const carried = this.running ? await this.#lasting(peer) : false;
      await this.#replaced();
      return carried;
    } finally {
      this.#leave(!this.gone);
    }
  }

  // An edge that let another publisher in answers 410: two that both come back would never end.
  async #replaced() {
    if (!this.open || !this.resource || !(await this.open()) || !this.running) return;
    const told = await fetch(this.resource, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
    if (told?.status === 410) throw Object.assign(new Error("replaced"), { final: true, replaced: true });
  }

  #lasting(peer) {
    return new Promise((over) => {
      let connected = false, timer = setTimeout(() => over(connected), CONNECT_MS);
      this.renew = () => over(connected);
      // The edge's goodbye: the connection's own state shows it seconds later.
      for (const { sender: { transport } } of peer.getTransceivers()) {
        transport?.addEventListener("statechange", () => {
          if (transport.state !== "closed" || peer !== this.peer) return;
          this.gone = true;
          over(connected);
        });
      }
      peer.onconnectionstatechange = () => {
        const state = peer.connectionState;
        if (state === "new" || state === "connecting") return;
        clearTimeout(timer);
        if (state === "connected") { connected = true; this.tell("live"); }
        else if (state === "disconnected") {
          this.tell("reconnecting");
          timer = setTimeout(() => over(connected), DISCONNECTED_MS);
        } else over(connected);
      };
      peer.onconnectionstatechange();
    });
  }

  #leave(tell = true) {
    const resource = tell && this.resource;
    this.resource = null;
    this.renew();
    this.renew = () => {};
    this.peer?.close();
    this.peer = null;
    if (resource) fetch(resource, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  // Tracks in place of those that are sent now, without a word to the other side.
  async replace(kind, track) {
    const sends = this.peer?.getTransceivers().find((one) => one.receiver.track.kind === kind);
    await sends?.sender.replaceTrack(track);
  }

  // tell: false where the server has ended the connection itself.
  stop(tell = true) {
    this.running = false;
    this.#leave(tell);
  }
}
