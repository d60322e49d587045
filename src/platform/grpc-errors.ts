import { Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { errorCodes, PxError, toPxError, type ErrorCode } from '../kernel/errors.js';
import { grpcStatusOf } from '../kernel/grpc-status.js';

/** The trailing metadata that carries the exact code of the closed set. */
const codeHeader = 'px-error-code';

const deadlineExceeded = grpcStatusOf.deadline_exceeded;
const unavailable = grpcStatusOf.unavailable;

export function toGrpcStatus(thrown: unknown): Partial<StatusObject> {
  const error = toPxError(thrown);
  const metadata = new Metadata();
  metadata.set(codeHeader, error.code);
  return { code: grpcStatusOf[error.code], details: error.message, metadata };
}

export function fromGrpcError(thrown: unknown, peer: string): PxError {
  if (thrown instanceof PxError) return thrown;
  if (!isServiceError(thrown)) return toPxError(thrown);
  const named = thrown.metadata?.get(codeHeader)[0];
  const code = errorCodes.find((candidate) => candidate === named);
  if (code !== undefined) return new PxError(code, thrown.details, {}, thrown);
  if ((thrown.code as number) === unavailable) {
    return new PxError('unavailable', `${peer} does not answer: ${thrown.details}`, {}, thrown);
  }
  if ((thrown.code as number) === deadlineExceeded) {
    return new PxError('deadline_exceeded', `${peer} did not answer in time`, {}, thrown);
  }
  return new PxError(codeOfStatus(thrown.code), thrown.details, {}, thrown);
}

function codeOfStatus(status: number): ErrorCode {
  return errorCodes.find((code) => grpcStatusOf[code] === status) ?? 'internal';
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'details' in thrown && 'code' in thrown;
}
