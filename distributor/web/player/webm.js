// WebM: where its first Cluster begins, and which codecs its header names.

const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const ENTRY = 0xae;
const CODEC = 0x86;
const CLUSTER = 0x1f43b675;

const CODECS = new Map([
  ["V_VP8", "vp8"], ["V_VP9", "vp9"], ["V_AV1", "av01.0.08M.08"],
  ["A_OPUS", "opus"], ["A_VORBIS", "vorbis"],
]);

/** Everything before the first Cluster, once that begins. */
export function webmHeader(bytes) {
  const codecs = [];
  for (const { id, start, end } of elements(bytes, 0)) {
    if (id === CLUSTER) {
      const header = start;
      return { kind: "webm", header, codecs, audio: codecs.some((codec) => /opus|vorbis/.test(codec)) };
    }
    if (id === TRACKS && end <= bytes.length) codecs.push(...codecsOf(bytes.subarray(start, end)));
  }
  return null;
}

function codecsOf(tracks) {
  const found = [];
  for (const entry of elements(tracks, 0)) {
    if (entry.id !== ENTRY) continue;
    for (const { id, start, end } of elements(tracks.subarray(entry.start, entry.end), 0)) {
      if (id !== CODEC) continue;
      const name = String.fromCharCode(...tracks.subarray(entry.start + start, entry.start + end));
      found.push(CODECS.get(name.replace(/\0+$/, "")) ?? name);
    }
  }
  return found;
}

/** Elements one after the other, into the Segment and over all others. A Cluster's `start` is that of the
 * element itself, and it is the last. */
function* elements(bytes, at) {
  while (at < bytes.length) {
    const id = number(bytes, at, false);
    const size = id && number(bytes, id.end, true);
    if (!size) return;
    if (id.value === CLUSTER) {
      yield { id: CLUSTER, start: at, end: at };
      return;
    }
    yield { id: id.value, start: size.end, end: size.end + size.value };
    at = id.value === SEGMENT ? size.end : size.end + size.value;
  }
}

/** A number of variable length; null where it has not come whole. */
function number(bytes, at, strip) {
  const length = Math.clz32(bytes[at]) - 23;
  if (length > 8 || at + length > bytes.length) return null;
  let value = strip ? bytes[at] & (0xff >> length) : bytes[at];
  for (let next = 1; next < length; next += 1) value = value * 256 + bytes[at + next];
  return { value, end: at + length };
}
