import { open } from 'node:fs/promises';

/** A table of the DOS kind with one Linux partition, which begins and ends within the device. */
export async function writePartitionTable(device: string): Promise<void> {
  const sector = Buffer.alloc(4096);
  sector.writeUInt8(0x83, 446 + 4);
  sector.writeUInt32LE(8, 446 + 8);
  sector.writeUInt32LE(1000, 446 + 12);
  sector.writeUInt16LE(0xaa55, 510);
  const file = await open(device, 'r+');
  await file.write(sector, 0, sector.length, 0);
  await file.sync();
  await file.close();
}
