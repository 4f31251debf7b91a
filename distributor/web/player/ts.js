// MPEG transport streams: as much of them as is needed to tell the header from what follows.

const PACKET = 188;

/** The tables that a join begins with: packets of PID 0, and of the maps that they name. */
export function tsHeader(bytes) {
  let at = 0;
  const maps = new Set();
  while (at + PACKET <= bytes.length) {
    if (bytes[at] !== 0x47) return { kind: "unknown", header: 0 };
    const pid = ((bytes[at + 1] & 0x1f) << 8) | bytes[at + 2];
    if (pid === 0) mapsOf(bytes.subarray(at, at + PACKET)).forEach((map) => maps.add(map));
    else if (!maps.has(pid)) return { kind: "ts", header: at };
    at += PACKET;
  }
  return null;
}

/** The PIDs of the program maps that a packet of the association table names. */
function mapsOf(packet) {
  const adaptation = packet[3] & 0x20 ? packet[4] + 1 : 0;
  const section = 4 + adaptation + 1 + packet[4 + adaptation];
  const end = section + 3 + (((packet[section + 1] & 0x0f) << 8) | packet[section + 2]) - 4;
  const pids = [];
  for (let at = section + 8; at + 4 <= Math.min(end, PACKET); at += 4) {
    if ((packet[at] << 8 | packet[at + 1]) !== 0) {
      pids.push(((packet[at + 2] & 0x1f) << 8) | packet[at + 3]);
    }
  }
  return pids;
}
