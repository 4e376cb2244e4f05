// A WHIP or WHEP client as a web developer writes it from the specifications: nothing here is of Luxxon.
"use strict";

let peer, session, answered, posted, firstFrame;
const video = document.querySelector("video");

const offered = (kind, codec) =>
  RTCRtpReceiver.getCapabilities(kind).codecs.filter(
    ({ mimeType }) => mimeType === `${kind}/${codec}` || mimeType === `${kind}/rtx`,
  );

// A picture in one colour with a bar that moves, at 25 frames a second.
const painted = (colour) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
  const context = canvas.getContext("2d");
  let count = 0;
  setInterval(() => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 640, 360);
    context.fillStyle = "white";
    context.fillRect((count++ * 8) % 640, 0, 16, 16);
  }, 40);
  return canvas.captureStream(25);
};

const gathered = () =>
  new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") resolve();
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") resolve();
    });
  });

// `via`: the port of a relay on this machine that stands between this page and the edge.
const routed = (sdp, via) =>
  via ? sdp.replaceAll(/^(a=candidate:\S+ \d udp \d+) \S+ \d+ /gm, `$1 127.0.0.1 ${via} `) : sdp;

const negotiate = async (url, via) => {
  await peer.setLocalDescription();
  await gathered();
  posted = performance.now();
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: peer.localDescription.sdp,
  });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  session = new URL(response.headers.get("Location"), url).href;
  answered = await response.text();
  await peer.setRemoteDescription({ type: "answer", sdp: routed(answered, via) });
};

// An RSA key in place of the P-256 one that a browser makes by itself.
const rsa = async () => ({
  certificates: [
    await RTCPeerConnection.generateCertificate({
      name: "RSASSA-PKCS1-v1_5",
      modulusLength: 2048,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: "SHA-256",
    }),
  ],
});

// `source`: "camera", or the colour of a painted picture.
const publish = async (url, source, codec, via = 0, settings = {}) => {
  peer = new RTCPeerConnection(settings);
  const camera = { video: { width: 640, height: 360, frameRate: 25 }, audio: true };
  const stream = source === "camera" ? await navigator.mediaDevices.getUserMedia(camera) : painted(source);
  for (const track of stream.getTracks()) {
    const transceiver = peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    if (track.kind === "video") transceiver.setCodecPreferences(offered("video", codec));
  }
  await negotiate(url, via);
};

// When the first frame received since `posted` is on the screen.
const shown = () =>
  new Promise((resolve) => {
    const look = (now, { receiveTime }) => {
      if (receiveTime > posted) resolve(now);
      else video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  });

const watch = async (url, via = 0, settings = {}) => {
  peer = new RTCPeerConnection(settings);
  const stream = new MediaStream();
  peer.addEventListener("track", ({ track }) => stream.addTrack(track));
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.addTransceiver("audio", { direction: "recvonly" });
  firstFrame = undefined;
  posted = Infinity;
  video.srcObject = stream;
  shown().then((at) => (firstFrame = at - posted));
  await negotiate(url, via);
};

const restartIce = async (via = 0) => {
  peer.restartIce();
  const offer = await peer.createOffer();
  const lines = offer.sdp.split("\r\n");
  const only = (start) => lines.find((line) => line.startsWith(start));
  const fragment = [only("a=group:BUNDLE"), only("m="), only("a=mid:"), only("a=ice-ufrag"), only("a=ice-pwd")];
  const response = await fetch(session, {
    method: "PATCH",
    headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" },
    body: fragment.join("\r\n") + "\r\n",
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
  // The fragment's credentials take the place of those in every m= section of the answer.
  for (const name of ["ice-ufrag", "ice-pwd"]) {
    const line = text.match(new RegExp(`^a=${name}:.+$`, "m"))[0];
    answered = answered.replaceAll(new RegExp(`^a=${name}:.+$`, "gm"), line.trim());
  }
  await peer.setLocalDescription(offer);
  await peer.setRemoteDescription({ type: "answer", sdp: routed(answered, via) });
  return response.headers.get("ETag");
};

// Numbers of the one stream of a kind in one direction, with its codec.
const stats = async (type, kind) => {
  const report = await peer.getStats();
  for (const entry of report.values())
    if (entry.type === type && entry.kind === kind)
      return { ...entry, codec: report.get(entry.codecId)?.mimeType };
  return null;
};

const pair = async () => {
  const report = await peer.getStats();
  for (const entry of report.values())
    if (entry.type === "transport") {
      const { localCandidateId, remoteCandidateId } = report.get(entry.selectedCandidatePairId);
      return { local: report.get(localCandidateId), remote: report.get(remoteCandidateId), ...entry };
    }
  return null;
};
