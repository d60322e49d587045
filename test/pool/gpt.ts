import { closeSync, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';

/** Writes the primary header of an empty GUID partition table. Source: UEFI 2.10, 5.3.2. */
export function writeGpt(path: string, sizeBytes: number): void {
  const lastSector = sizeBytes / 512 - 1;
  const entries = Buffer.alloc(128 * 128);
  const header = Buffer.alloc(92);
  header.write('EFI PART', 0);
  header.writeUInt32LE(0x10000, 8);
  header.writeUInt32LE(header.length, 12);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(lastSector), 32);
  header.writeBigUInt64LE(34n, 40);
  header.writeBigUInt64LE(BigInt(lastSector - 33), 48);
  header.fill(0x5a, 56, 72);
  header.writeBigUInt64LE(2n, 72);
  header.writeUInt32LE(128, 80);
  header.writeUInt32LE(128, 84);
  header.writeUInt32LE(crc32(entries), 88);
  header.writeUInt32LE(crc32(header), 16);
  // The protective MBR: one partition of type 0xee over everything.
  const mbr = Buffer.alloc(512);
  mbr.writeUInt8(0xee, 446 + 4);
  mbr.writeUInt32LE(1, 446 + 8);
  mbr.writeUInt32LE(lastSector, 446 + 12);
  mbr.writeUInt16LE(0xaa55, 510);
  const fd = openSync(path, 'r+');
  writeSync(fd, mbr, 0, mbr.length, 0);
  writeSync(fd, header, 0, header.length, 512);
  writeSync(fd, entries, 0, entries.length, 1024);
  closeSync(fd);
}
