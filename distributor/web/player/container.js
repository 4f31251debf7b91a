// Which container it is, by its first bytes, and where its header ends.
//
// `opened(bytes)` is null while more bytes are needed, else { kind, header, rest, codecs }: what goes
// before the stream's bytes, how many bytes are left of those given, and what is in it.

import { mp4Header } from "./mp4.js";
import { tsHeader } from "./ts.js";
import { webmHeader } from "./webm.js";

/** Bytes of a header; whatever has not ended by then is none (docs/protocol.md, section 7.7). */
const HEADER_MAX = (1 << 20) + 65536;

export function opened(bytes) {
  if (bytes.length < 12) return null;
  const found = known(bytes);
  // However much has come at once: a header that is there is one.
  return found ?? (bytes.length > HEADER_MAX ? { kind: "unknown", header: 0 } : null);
}

function known(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  if (text.slice(4, 8) === "ftyp") return mp4Header(bytes);
  if (text.startsWith("\x1a\x45\xdf\xa3")) return webmHeader(bytes);
  if (bytes[0] === 0x47) return tsHeader(bytes);
  if (text.startsWith("FLV")) return { kind: "flv", header: 0 };
  if (isSound(bytes, text)) return { kind: "sound", header: 0 };
  return { kind: "unknown", header: 0 };
}

function isSound(bytes, text) {
  return ["OggS", "fLaC", "ID3"].some((mark) => text.startsWith(mark)) ||
    (text.startsWith("RIFF") && text.slice(8, 12) === "WAVE") ||
    // MPEG audio and ADTS: eleven bits that are set.
    (bytes[0] === 0xff && (bytes[1] & 0xe0) === 0xe0);
}
