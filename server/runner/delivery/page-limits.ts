/** How much one page may send, and which messages its role may send. Each method throws when the page does more than that. */
import { LabError } from '../../protocol/errors';
import { frameHeaderBytes, maxInputBytes } from '../../protocol/frames';
import type { ClientMessage } from '../../protocol/messages';
import type { Role } from '../../protocol/session';
import { TokenBucket } from '../token-bucket';

/** The longest frame that a page may send. */
export const maxFrameBytes = frameHeaderBytes + maxInputBytes;
/** The longest message has a name of 40 characters and some ids in it. */
const maxMessageBytes = 4096;
/** Held keys and reported mouse movements, at the rate of fast screens. */
const framesAtOnce = 1000;
const framesPerSecond = 400;
/** A paste of some megabytes, at the rate of a fast link. */
const bytesAtOnce = 4 * 1024 * 1024;
const bytesPerSecond = 2 * 1024 * 1024;
/** Clicks, and sizes while a pane is being dragged. Acknowledgements are counted by the frames that they can acknowledge. */
const messagesAtOnce = 500;
const messagesPerSecond = 100;
/** Attaching makes the server draw a screen: a page attaches all its terminals, and again when it reconnects. */
const attachesAtOnce = 64;
const attachesPerSecond = 5;

/** The role that each message needs. An owner may send all of them. */
const roleFor: Record<ClientMessage['type'], Role> = {
  attach: 'viewer',
  detach: 'viewer',
  ack: 'viewer',
  ping: 'viewer',
  viewport: 'owner',
  activate: 'owner',
  'open-terminal': 'owner',
  'close-terminal': 'owner',
  'rename-terminal': 'owner',
  run: 'owner',
  check: 'owner',
  rewind: 'owner',
  here: 'owner',
};

export class PageLimits {
  readonly #role: Role;
  readonly #frames = new TokenBucket(framesAtOnce, framesPerSecond);
  readonly #bytes = new TokenBucket(bytesAtOnce, bytesPerSecond);
  readonly #messages = new TokenBucket(messagesAtOnce, messagesPerSecond);
  readonly #attaches = new TokenBucket(attachesAtOnce, attachesPerSecond);
  #unacknowledgedFrames = 0;
  #unansweredPings = 0;

  constructor(role: Role) {
    this.#role = role;
  }

  /** A frame was sent to the page, which may acknowledge it. */
  frameSent(): void {
    this.#unacknowledgedFrames += 1;
  }

  /** A ping was sent to the page, which may answer it. */
  pingSent(): void {
    this.#unansweredPings += 1;
  }

  /** Bytes have come. @throws LabError `overloaded` */
  bytes(count: number): void {
    allow(this.#bytes, 'many bytes', count);
  }

  /** A ping of the page's own has come. @throws LabError `overloaded` */
  ping(): void {
    allow(this.#messages, 'many frames');
  }

  /** An answer to a ping has come. @throws LabError `overloaded` */
  pong(): void {
    if (this.#unansweredPings > 0) this.#unansweredPings -= 1;
    else allow(this.#messages, 'many frames');
  }

  /** A frame of input has come. @throws LabError `overloaded`, `forbidden` */
  frame(): void {
    allow(this.#frames, 'many frames');
    if (this.#role === 'viewer') throw new LabError('forbidden', 'Viewers cannot type.');
  }

  /** The text of a message has come. @throws LabError `bad-message` */
  text(bytes: number): void {
    if (bytes > maxMessageBytes) throw new LabError('bad-message', 'A message is too long.');
  }

  /** A message has come. @throws LabError `overloaded`, `forbidden` */
  message({ type }: ClientMessage): void {
    if (type === 'ack' && this.#unacknowledgedFrames > 0) this.#unacknowledgedFrames -= 1;
    else allow(this.#messages, 'many messages');
    if (this.#role === 'viewer' && roleFor[type] !== 'viewer') {
      throw new LabError('forbidden', 'Viewers can only watch.');
    }
    if (type === 'attach') allow(this.#attaches, 'many requests for a screen');
  }
}

function allow(bucket: TokenBucket, what: string, count = 1): void {
  if (!bucket.take(count)) throw new LabError('overloaded', `The page sends too ${what}.`);
}
