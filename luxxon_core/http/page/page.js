// The page for phones: one side of one session, for whoever has its link.
import { Stream, prefer } from "./whip.js";

const API = "/api/v1/link";
const POLL_MS = 2000;
const HEARTBEAT_MS = 5000;
const OPEN = ["REQUESTED", "ASSIGNED", "LIVE"];
const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const RESUME = "luxxon-resume"; // the page was loaded again only to be let through to the media edge
const CODEC = new URLSearchParams(location.hash.slice(1)).get("codec"); // to try one: …#codec=h264

const el = (id) => document.getElementById(id);
const video = el("video");
let token = location.pathname.split("/").pop();
let session = null, readAt = 0, stream = null, camera = null, microphone = null, position = null;
let wakeLock = null, status = "loading", over = false;
const publishes = () => session?.side === "operator";

// -- the server -------------------------------------------------------------------------------------------

class Failure extends Error {
  constructor(code, message, final) { super(message); this.code = code; this.final = final; }
}

async function call(method, path = "", body) {
  const headers = { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(API + path, {
    method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(10000),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Failure(told.code, told.message, answer.status < 429 && answer.status !== 408);
  session = told.data;
  readAt = performance.now();
  if (session.token) {
    token = session.token;
    history.replaceState(null, "", `/s/${token}${location.hash}`);
  }
  return session;
}

async function refresh() {
  if (over || document.hidden && !stream) return;
  try {
    await call("GET");
    settle();
  } catch (error) {
    if (error.code === "NOT_AUTHENTICATED" || error.code === "INVALID_TOKEN") return finish("expired");
    if (!session) show("offline", "No answer from the server. Trying again.");
  }
}

// What follows from how the session stands.
function settle() {
  if (!OPEN.includes(session.state)) return finish("ended");
  if (publishes()) {
    if (!stream && !["denied", "starting", "unsupported", "failed"].includes(status)) {
      const again = session.state === "LIVE";
      el("go").textContent = again ? "Go on filming" : "Start filming";
      show("ready", again ? "The session is live and waits for your picture." : "Point the camera at the place.");
    }
  } else if (!session.whepUrl) {
    show("waiting", session.state === "REQUESTED" ? "Looking for a camera there." : "The camera is getting ready.");
  } else if (!stream) watch();
  draw();
}

function finish(how) {
  over = true;
  leave(how === "expired");
  video.srcObject = null;
  el("sure").close();
  if (how === "expired") return show("expired", "This link is no longer good. Ask for a new one.");
  const bill = session.startedAt ? "The picture is over." : "It ended before there was a picture.";
  show("ended", session.state === "CANCELLED" ? "The request was cancelled." : bill);
}

// -- publishing -------------------------------------------------------------------------------------------

async function film() {
  if (!window.isSecureContext || !navigator.mediaDevices) {
    return show("unsupported", "A browser lends its camera to pages by https only. Ask for an https link.");
  }
  show("starting", "Allow the camera, and the position that proves where you are.");
  try {
    await open({ facingMode: { ideal: "environment" } });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    return show("denied", refused
      ? "The camera was refused. Allow it in the browser's settings for this site, then try again."
      : `No camera can be used: ${error.message || error.name}`);
  }
  locate();
  stay();
  stream = new Stream(
    async () => (await call("POST", "/start")).whipUrl,
    (peer) => {
      const sends = peer.addTransceiver(camera, { direction: "sendonly", streams: [video.srcObject] });
      if (CODEC) prefer(sends, CODEC, RTCRtpSender.getCapabilities("video"));
      peer.addTransceiver(microphone ?? "audio", { direction: "sendonly", streams: [video.srcObject] });
    },
    heard,
    async () => { await refresh(); return !over; },
  );
  stream.run();
}

// Opens a camera in place of the present one: phones lend one at a time.
async function open(wish) {
  camera?.stop();
  const media = await navigator.mediaDevices.getUserMedia({ video: { ...PICTURE, ...wish } });
  [camera] = media.getVideoTracks();
  camera.contentHint = "motion";
  camera.onended = () => { if (stream) open(wish).catch(() => hint("The camera was taken away.")); };
  video.srcObject = media;
  await stream?.replace("video", camera);
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
  const chosen = camera.getSettings().deviceId;
  el("camera").replaceChildren(...found.map((one, at) =>
    new Option(one.label || `Camera ${at + 1}`, one.deviceId, false, one.deviceId === chosen)));
  el("cameras").hidden = found.length < 2;
}

async function speak() {
  const before = microphone;
  microphone = null;
  if (before) before.stop();
  else {
    try {
      [microphone] = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
    } catch { hint("The microphone was refused."); }
  }
  await stream?.replace("audio", microphone);
  el("mic").setAttribute("aria-pressed", String(!!microphone));
}

function locate() {
  if (!navigator.geolocation) return hint("Without a position your seconds may not be paid.");
  navigator.geolocation.watchPosition(
    ({ coords }) => {
      const first = !position;
      position = coords;
      if (first) beat();
      draw();
    },
    (error) => { if (error.code === 1) hint("Without your position the seconds may not be paid: allow it."); },
    { enableHighAccuracy: true, maximumAge: 2000 },
  );
}

async function beat() {
  if (!position || !stream) return;
  const { latitude: lat, longitude: lng, accuracy: accuracyMeters, speed } = position;
  const body = { lat, lng, accuracyMeters, ...(Number.isFinite(speed) && { speedMps: speed }) };
  await call("POST", "/location", body).then(settle, () => {});
}

// -- watching ---------------------------------------------------------------------------------------------

function watch() {
  const media = new MediaStream();
  video.srcObject = media;
  stream = new Stream(
    async () => {
      const { whepUrl } = await call("GET");
      if (!whepUrl) throw new Failure("GONE", "over", false);
      return whepUrl;
    },
    (peer) => {
      for (const one of media.getTracks()) media.removeTrack(one);
      const takes = peer.addTransceiver("video", { direction: "recvonly" });
      if (CODEC) prefer(takes, CODEC, RTCRtpReceiver.getCapabilities("video"));
      peer.addTransceiver("audio", { direction: "recvonly" });
      peer.ontrack = ({ track }) => {
        media.addTrack(track);
        video.play().catch(() => {});
      };
    },
    heard,
  );
  stay();
  stream.run();
}

// -- both -------------------------------------------------------------------------------------------------

function heard(news, error) {
  if (over) return;
  if (news === "live") show("live", "");
  else if (news === "connecting") show("connecting", "Connecting");
  else if (news === "waiting") show("waiting", "Nobody publishes yet. Waiting.");
  else if (news === "reconnecting") show("reconnecting", "The connection broke. Connecting again.");
  else {
    leave();
    if (error.replaced) el("go").textContent = "Film from here";
    show("failed", error.replaced ? "Another device films now." : error.message);
    refresh();
  }
}

function leave(tell = true) {
  stream?.stop(tell);
  stream = null;
  for (const track of [camera, microphone]) track?.stop();
  camera = microphone = null;
  el("mic").setAttribute("aria-pressed", "false");
  wakeLock?.release().catch(() => {});
  wakeLock = null;
}

// Keeps the screen on; the browser lets go of it whenever the page is hidden.
async function stay() {
  wakeLock = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
}

async function end() {
  const live = session.state === "LIVE";
  el("sure-text").textContent = live
    ? `End the session at ${clock(seconds())}? It is then billed.`
    : publishes() ? "Give the assignment back?" : "Cancel the request?";
  el("sure-yes").textContent = live ? "End now" : "Yes";
  el("sure").returnValue = "no";
  el("sure").showModal();
}

async function ended() {
  if (el("sure").returnValue !== "yes" || over) return;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      await call("POST", "/stop");
      return settle();
    } catch (error) { hint(`Not ended: ${error.message}`); }
  }
}

// -- what is seen -----------------------------------------------------------------------------------------

const WORDS = {
  loading: "Loading", ready: "Ready", starting: "Starting", connecting: "Connecting", live: "Live", waiting: "Waiting",
  reconnecting: "Reconnecting", ended: "Ended", denied: "No camera", unsupported: "Not possible here", expired: "Expired",
  offline: "Offline", failed: "Failed",
};
const LOST = {
  NETWORK_ERROR: "No picture arrives: these seconds cost nothing.",
  STALE_TELEMETRY: "No position arrives: these seconds cost nothing.",
  OUTSIDE_GEOFENCE: "Outside the requested place: these seconds cost nothing.",
};

function show(next, note) {
  status = next;
  document.body.dataset.status = next;
  if (el("status").textContent !== WORDS[next]) el("status").textContent = WORDS[next];
  el("note").textContent = note;
  const filming = publishes() && !!stream, open = session && OPEN.includes(session.state) && !over;
  el("go").hidden = !(open && publishes() && !stream && ["ready", "denied", "failed"].includes(next));
  el("stop").hidden = !open || (publishes() && session.state !== "LIVE" && !stream);
  el("stop").textContent = publishes() || session?.state === "LIVE" ? "End session" : "Cancel request";
  el("mic").hidden = !filming;
  el("cameras").hidden = !filming || el("camera").options.length < 2;
  el("sound").hidden = el("full").hidden = publishes() || next !== "live";
  draw();
}

const hint = (text) => { el("hint").textContent = text; };
const clock = (s) => `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;

function seconds() {
  const ticks = session.state === "LIVE" && !session.lost.length && !over;
  const since = ticks ? Math.floor((performance.now() - readAt) / 1000) : 0;
  return Math.min(session.cleanSeconds + since, session.maxDurationSeconds);
}

// Great-circle distance in metres (haversine, mean radius of WGS84).
function metres(a, b) {
  const rad = Math.PI / 180, x = Math.sin((b.lat - a.lat) * rad / 2), y = Math.sin((b.lng - a.lng) * rad / 2);
  return 12742018 * Math.asin(Math.sqrt(x * x + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * y * y));
}

function draw() {
  if (!session) return;
  const clean = seconds(), micro = BigInt(session.ratePerSecondMicroUsdc) * BigInt(clean);
  el("time-label").textContent = publishes() ? "Filmed" : "Seen";
  el("money-label").textContent = publishes() ? "Billed" : "Cost";
  el("time").replaceChildren(clock(clean), small(` of ${clock(session.maxDurationSeconds)}`));
  const digits = String(micro).padStart(7, "0");
  el("money").replaceChildren(`${digits.slice(0, -6)}.${digits.slice(-6)}`, small(" USDC"));
  el("place").textContent = `${session.lat.toFixed(5)}, ${session.lng.toFixed(5)}`;
  el("distance-row").hidden = !position;
  if (position) {
    const far = metres(session, { lat: position.latitude, lng: position.longitude });
    const told = far < 1000 ? `${Math.round(far)} m` : `${(far / 1000).toFixed(1)} km`;
    el("distance").replaceChildren(`${told} away`, small(` ±${Math.round(position.accuracy)} m`));
  }
  if (session.lost.length && !over) hint(LOST[session.lost[0]] ?? "");
  else if (Object.values(LOST).includes(el("hint").textContent)) hint("");
}

function small(text) {
  const made = document.createElement("small");
  made.textContent = text;
  return made;
}

// -- what happens -----------------------------------------------------------------------------------------

el("go").onclick = film;
el("stop").onclick = end;
el("sure").onclose = ended;
el("mic").onclick = speak;
el("camera").onchange = ({ target }) => open({ deviceId: { exact: target.value } })
  .catch(() => { hint("That camera cannot be used."); return open({ facingMode: { ideal: "environment" } }); })
  .catch(() => hint("The camera was taken away."));
el("sound").onclick = () => {
  video.muted = !video.muted;
  el("sound").setAttribute("aria-pressed", String(!video.muted));
};
el("full").onclick = () => (video.requestFullscreen ?? video.webkitEnterFullscreen)?.call(video);
document.onvisibilitychange = () => {
  if (document.hidden || over) return;
  refresh();
  if (!stream) return;
  stay();
  if (publishes() && camera?.readyState === "ended") camera.onended?.();
  if (stream.peer?.connectionState === "disconnected") stream.renew();
};
window.ononline = () => { stream?.renew(); refresh(); };
window.onpagehide = () => leave();
window.onpageshow = ({ persisted }) => { if (persisted) location.reload(); };
document.addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
  // The session's media are at an edge of which nothing was known when this page was sent.
  if (effectiveDirective !== "connect-src" || sessionStorage.getItem(RESUME) === token) return;
  sessionStorage.setItem(RESUME, token);
  location.reload();
});

if (typeof RTCPeerConnection !== "function") show("unsupported", "This browser has no WebRTC. Use another one.");
else {
  await refresh();
  if (sessionStorage.getItem(RESUME) === token && publishes() && !over) film();
  setInterval(refresh, POLL_MS);
  setInterval(beat, HEARTBEAT_MS);
  setInterval(draw, 1000);
}
