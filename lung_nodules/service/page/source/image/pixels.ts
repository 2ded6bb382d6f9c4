/** What the service sends of an image, as typed arrays: int16 HU and uint16 labels, little endian, row by row. */

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * One slice in Hounsfield units.
 *
 * @param bytes As received, after the browser has undone the content encoding.
 * @param numPixels Rows times columns.
 * @throws RangeError When the number of bytes is another one.
 */
export function decodeHu(bytes: ArrayBuffer, numPixels: number): Int16Array {
  return new Int16Array(inHostOrder(checked(bytes, numPixels)));
}

/** One slice of outlines: 0 outside, else a finding's `outline_label`. Arguments and errors as `decodeHu`. */
export function decodeLabels(bytes: ArrayBuffer, numPixels: number): Uint16Array {
  return new Uint16Array(inHostOrder(checked(bytes, numPixels)));
}

function checked(bytes: ArrayBuffer, numPixels: number): ArrayBuffer {
  if (bytes.byteLength !== 2 * numPixels) {
    throw new RangeError(`a slice of ${numPixels} pixels has ${bytes.byteLength} bytes`);
  }
  return bytes;
}

function inHostOrder(bytes: ArrayBuffer): ArrayBuffer {
  return HOST_IS_LITTLE_ENDIAN ? bytes : swapPairs(bytes);
}

/** The same bytes with each pair turned round. */
export function swapPairs(bytes: ArrayBuffer): ArrayBuffer {
  const source = new DataView(bytes);
  const target = new DataView(new ArrayBuffer(bytes.byteLength));
  for (let offset = 0; offset < bytes.byteLength; offset += 2) {
    target.setUint16(offset, source.getUint16(offset, true), false);
  }
  return target.buffer;
}
