import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadPackageDefinition, type GrpcObject } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { PxError } from '../kernel/errors.js';

/**
 * The folder of the .proto files that belongs to a program, found by walking up
 * from its own file: the same in the repository, in `dist` and in the image.
 */
export function protoDirOf(mainUrl: string): string {
  let directory = dirname(fileURLToPath(mainUrl));
  for (;;) {
    const candidate = join(directory, 'proto');
    if (existsSync(join(candidate, 'px.proto'))) return candidate;
    const parent = dirname(directory);
    if (parent === directory) {
      throw new PxError('internal', `no proto/px.proto in a folder above ${mainUrl}`);
    }
    directory = parent;
  }
}

/** Must agree with the options of `npm run gen`, which makes the types. */
export function loadProto(protoDir: string, file: string): GrpcObject {
  const definition = loadSync(join(protoDir, file), {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
    includeDirs: [protoDir],
  });
  return loadPackageDefinition(definition);
}
