import type {
  ControlMessage,
  ControlReply,
  Hello,
  HelloReply,
} from '../src/dataplane/protocol/messages.js';

/** What travels on a simulated connection; payloads are copied when sent, as a socket does. */
export type ToReplica =
  | { readonly type: 'hello'; readonly hello: Hello }
  | {
      readonly type: 'request';
      readonly slot: number;
      readonly kind: number;
      readonly offset: number;
      readonly length: number;
      readonly seq: number;
      readonly completedSeq: number;
      readonly payload: Uint32Array | undefined;
    }
  | { readonly type: 'control'; readonly tag: number; readonly message: ControlMessage };

export type ToCoordinator =
  | { readonly type: 'hello'; readonly reply: HelloReply }
  | {
      readonly type: 'reply';
      readonly slot: number;
      readonly status: number;
      readonly payload: Uint32Array | undefined;
    }
  | { readonly type: 'control'; readonly tag: number; readonly reply: ControlReply };
