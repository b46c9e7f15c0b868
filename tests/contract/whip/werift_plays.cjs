// Plays a show by WHEP with werift, a WebRTC of its own in JavaScript, and says what came.
//
//   node werift_plays.cjs <folder of node_modules> <WHEP url> <packets to wait for>
//   → {"status": 201, "video": 120, "sound": 40, "codec": "video/H264", "numbering": true, "deleted": 200}

const path = require("node:path");
const [folder, url, wanted] = process.argv.slice(2);
const { RTCPeerConnection, useH264, useOPUS } = require(path.join(folder, "werift"));

const WITHIN_MS = 90_000;

async function main() {
  const peer = new RTCPeerConnection({
    iceServers: [],
    iceAdditionalHostAddresses: ["127.0.0.1"],
    codecs: { video: [useH264()], audio: [useOPUS()] },
  });
  const came = { video: 0, audio: 0 };
  let codec = "";
  let numbering = true;
  const enough = new Promise((resolve) => {
    peer.onTrack.subscribe((track) => {
      let last = null;
      track.onReceiveRtp.subscribe((packet) => {
        came[track.kind] += 1;
        const { sequenceNumber } = packet.header;
        if (last !== null && ((sequenceNumber - last) & 0xffff) !== 1) numbering = false;
        last = sequenceNumber;
        if (track.kind === "video") codec = track.codec?.mimeType ?? codec;
        if (came.video >= Number(wanted) && came.audio > 0) resolve();
      });
    });
  });
  peer.addTransceiver("audio", { direction: "recvonly" });
  peer.addTransceiver("video", { direction: "recvonly" });
  await peer.setLocalDescription(await peer.createOffer());
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: peer.localDescription.sdp,
  });
  const sdp = await answer.text();
  if (answer.status !== 201) throw new Error(`${answer.status} ${sdp}`);
  const session = new URL(answer.headers.get("location"), url);
  await peer.setRemoteDescription({ type: "answer", sdp });
  const late = setTimeout(() => {
    console.error(JSON.stringify({ came, ice: peer.iceConnectionState, dtls: peer.connectionState }));
    process.exit(1);
  }, WITHIN_MS);
  await enough;
  clearTimeout(late);
  const deleted = await fetch(session, { method: "DELETE" });
  console.log(JSON.stringify({
    status: answer.status, video: came.video, sound: came.audio, codec, numbering, deleted: deleted.status,
  }));
  await peer.close();
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
