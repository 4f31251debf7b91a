// Fragmented MP4: where its boxes end, and which codecs its header names.

/** A box: its type, and where its content begins and ends; null while it has not come whole. */
function boxAt(bytes, at) {
  if (at + 8 > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
  let [size, head] = [view.getUint32(at), 8];
  if (size === 1) {
    if (at + 16 > bytes.length) return null;
    [size, head] = [Number(view.getBigUint64(at + 8)), 16];
  }
  if (size < head || !/^[\x20-\x7e]{4}$/.test(type)) return { type: "", start: at, end: at };
  return { type, start: at + head, end: at + size };
}

/** `ftyp` and `moov`, once they are there. */
export function mp4Header(bytes) {
  for (let at = 0, box; (box = boxAt(bytes, at)) !== null; at = box.end) {
    if (box.type === "" || box.type === "mdat") return { kind: "file", header: 0 };
    if (box.end > bytes.length) return null;
    if (box.type === "moov") {
      const moov = bytes.subarray(box.start, box.end);
      const codecs = [...all(moov, ["trak", "mdia", "minf", "stbl", "stsd"])].map(codecOf);
      const kind = [...all(moov, ["mvex"])].length > 0 ? "mp4" : "file";
      return { kind, header: box.end, codecs, audio: codecs.some(isAudio) };
    }
  }
  return null;
}

/** How many bytes the first whole unit takes: a fragment with what goes before it, or a new header; 0
 * while it has not come whole, -1 where none can begin here. */
export function mp4Unit(bytes) {
  for (let at = 0, box; (box = boxAt(bytes, at)) !== null; at = box.end) {
    if (box.type === "") return -1;
    if (box.end > bytes.length) return 0;
    if (box.type === "mdat" || box.type === "moov") return box.end;
  }
  return 0;
}

/** The contents of all boxes at that path. */
function* all(bytes, [type, ...rest]) {
  for (let at = 0, box; (box = boxAt(bytes, at)) !== null && box.type !== ""; at = box.end) {
    if (box.type !== type) continue;
    const content = bytes.subarray(box.start, box.end);
    if (rest.length === 0) yield content;
    else yield* all(content, rest);
  }
}

function isAudio(codec) {
  return /^(mp4a|opus|flac|ac-3|ec-3)/.test(codec);
}

const hex = (byte) => byte.toString(16).padStart(2, "0");

/** The codec of a sample description, as RFC 6381 writes it. */
function codecOf(stsd) {
  const entry = boxAt(stsd, 8);
  if (entry === null) return "unknown";
  const content = stsd.subarray(entry.start, entry.end);
  const inner = (type, skip) => all(content.subarray(skip), [type]).next().value;
  switch (entry.type) {
    case "avc1":
    case "avc3": {
      const config = inner("avcC", 78);
      return config ? `${entry.type}.${[...config.subarray(1, 4)].map(hex).join("")}` : entry.type;
    }
    case "mp4a": {
      const config = inner("esds", 28);
      return config ? `mp4a.${objectType(config)}` : "mp4a.40.2";
    }
    case "vp09": {
      const config = inner("vpcC", 78);
      const two = (number) => String(number).padStart(2, "0");
      return `vp09.${two(config[4])}.${two(config[5])}.${two(config[6] >> 4)}`;
    }
    case "av01": {
      const config = inner("av1C", 78);
      const [profile, level] = [config[1] >> 5, String(config[1] & 31).padStart(2, "0")];
      return `av01.${profile}.${level}${config[2] & 0x80 ? "H" : "M"}.${config[2] & 0x40 ? "10" : "08"}`;
    }
    case "hvc1":
    case "hev1": {
      const config = inner("hvcC", 78);
      return `${entry.type}.${config[1] & 31}.6.${config[1] & 32 ? "H" : "L"}${config[12]}.B0`;
    }
    case "Opus": return "opus";
    case "fLaC": return "flac";
    default: return entry.type;
  }
}

/** Of an `esds`: object type, and for AAC which of its kinds. */
function objectType(esds) {
  const at = { place: 4 };
  const descriptor = () => {
    const tag = esds[at.place++];
    while (esds[at.place++] & 0x80);
    return tag;
  };
  descriptor();
  at.place += 3;
  descriptor();
  const type = esds[at.place];
  at.place += 13;
  if (type !== 0x40) return hex(type);
  descriptor();
  return `40.${esds[at.place] >> 3}`;
}
