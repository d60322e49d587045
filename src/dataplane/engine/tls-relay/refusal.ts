import { encodeHelloReply } from '../../wire/bodies.js';
import { payloadChecksum } from '../../wire/checksum.js';
import { FrameHeader, FrameType, HeaderCodec, headerBytes, headerWords } from '../../wire/frame.js';

/**
 * The frame that a relay sends in the place of the replica's first answer when
 * there is no way to the replica: the link reads it as a refused HELLO, and so
 * the reason gets into the volume's status with nothing that only TLS needs.
 */
export function refusalFrame(clusterId: string, nodeId: string, message: string): Buffer {
  const reply = { ok: false, code: 'unreachable', message, epoch: 0 } as const;
  const body = encodeHelloReply({ clusterId, nodeId, reply });
  const header = new FrameHeader().clear(FrameType.helloReply, 0);
  header.payloadBytes = body.length;
  header.payloadCrc = payloadChecksum(body);
  const words = new Int32Array(headerWords);
  new HeaderCodec().encode(header, words, 0);
  return Buffer.concat([Buffer.from(words.buffer, 0, headerBytes), body]);
}
