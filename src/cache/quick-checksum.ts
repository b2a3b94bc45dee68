/** Finds damage; without Node's crypto, which takes longer to load than what is checked to be read. Of whole words. */
export function quickChecksum({ buffer, byteOffset, length }: Uint8Array): number {
  const [a, b] = mixWords(new Uint32Array(buffer, byteOffset, length >> 2));
  return (a ^ b) >>> 0;
}

/** 64 bits of a text. Not against those who want them to be equal. */
export function mixWords(words: Uint32Array): [number, number] {
  let [a, b] = [0x9e37_79b9 ^ words.length, 0x85eb_ca6b];
  for (let i = 0; i < words.length; i++) {
    a = Math.imul(a ^ words[i]!, 0xcc9e_2d51);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ a, 0x1b87_3593) + 1;
    b = (b << 15) | (b >>> 17);
  }
  return [Math.imul(a ^ (a >>> 16), 0x7feb_352d), Math.imul(b ^ (b >>> 15), 0x846c_a68b)];
}
