/**
 * What the runtime asks for and Hermes lacks. TextDecoder and structuredClone, which it lacks too,
 * come with Expo. Import this before the runtime.
 */
import * as Crypto from "expo-crypto";
import "unicode-segmenter/intl-polyfill"; // Intl.Segmenter: where a character ends, emoji included

const phone = globalThis as { crypto?: { subtle?: unknown } };
phone.crypto ??= {};
phone.crypto.subtle ??= {
  digest: (_: "SHA-256", bytes: BufferSource) =>
    Crypto.digest(Crypto.CryptoDigestAlgorithm.SHA256, bytes),
};
