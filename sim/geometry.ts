/**
 * The small world of a simulated volume: a sector's content is one 32-bit
 * number, 0 being zeroes. The core never looks into a payload, so that a
 * number stands for 4096 bytes as well as 4096 bytes would.
 */
export const sectorBytes = 4096;
export const sectorsPerHashBlock = 2;
export const hashBlockBytes = sectorsPerHashBlock * sectorBytes;
export const chunkBytes = 2 * hashBlockBytes;
export const maxHashBytes = 2 * hashBlockBytes;
/** The longest payload of a simulated request. */
export const maxIoSectors = 8;
export const digestBytes = 32;

export const geometry = { chunkBytes, hashBlockBytes, maxHashBytes } as const;

export const clusterId = 'sim-cluster';
export const volumeId = 'vol';
