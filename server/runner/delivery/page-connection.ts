/**
 * One page's WebSocket: frames and messages in and out, and the limits of both. What a page sends that is malformed, too much or
 * out of order closes its socket with a code and harms nothing else.
 */
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { RawData, WebSocket } from 'ws';
import { LabError, type ErrorCode } from '../../protocol/errors';
import { decodeFrame, frameHeaderBytes, maxInputBytes } from '../../protocol/frames';
import type { Role } from '../../protocol/session';
import {
  clientMessageSchema,
  closeCodes,
  parseMessage,
  type ClientMessage,
  type ServerMessage,
} from '../../protocol/messages';
import { Pump } from './pump';
import { TokenBucket } from '../token-bucket';
import type { Attachment, AttachedPage } from '../terminal/attachment';

/** The longest frame that a page may send. */
export const maxFrameBytes = frameHeaderBytes + maxInputBytes;
/** The longest message has a name of 40 characters and some ids in it. */
const maxMessageBytes = 4096;
/** Unsent messages; the terminals' output never gets here, its window is smaller. */
const maxUnsentBytes = 4 * 1024 * 1024;
/** A page that answers no ping for this long is gone (a laptop that sleeps, a network that went away). */
const pingIntervalMs = 15_000;
/** Keys held down and mouse movements that are reported, at the rate of fast screens. */
const framesAtOnce = 1000;
const framesPerSecond = 400;
/** A paste of some megabytes, at the rate of a fast link. */
const bytesAtOnce = 4 * 1024 * 1024;
const bytesPerSecond = 2 * 1024 * 1024;
/** Clicks, and sizes while a pane is being dragged. Acknowledgements are counted by what there is to acknowledge. */
const messagesAtOnce = 500;
const messagesPerSecond = 100;
/** All that a page may send that only looks on. */
const viewersMessages: readonly ClientMessage['type'][] = ['attach', 'detach', 'ack', 'ping'];
/** Attaching makes the server draw a screen: a page with all its terminals, and again when it comes back. */
const attachesAtOnce = 64;
const attachesPerSecond = 5;

/** Takes what a page sends. */
export interface Inbox {
  /** @throws LabError `bad-message`, `overloaded`, `forbidden` */
  receive(message: ClientMessage): void;
  /** @throws LabError `bad-message`, `overloaded` */
  input(channel: number, offset: number, bytes: Uint8Array): void;
  close(): void;
}

/** A way to reach one connected page. */
export interface Client {
  readonly role: Role;
  send(message: ServerMessage): void;
  /**
   * Shows an attachment's terminal to the page.
   * @param open makes the attachment, for this page
   * @param onEnd the attachment was ended from elsewhere
   */
  show(terminal: string, open: (page: AttachedPage) => Attachment, onEnd: () => void): Attachment;
  /** Shows it no longer. */
  hide(attachment: Attachment): void;
}

const closeCodeOf: Partial<Record<ErrorCode, number>> = {
  forbidden: closeCodes.forbidden,
  overloaded: closeCodes.overloaded,
};

/**
 * Serves a page until its socket closes.
 * @param stream that the socket's frames go through
 * @param connect makes the page known to the session
 */
export function serve(
  socket: WebSocket,
  stream: Duplex,
  role: Role,
  connect: (client: Client) => Inbox,
  log: Logger,
): void {
  const frames = new TokenBucket(framesAtOnce, framesPerSecond);
  const bytes = new TokenBucket(bytesAtOnce, bytesPerSecond);
  const messages = new TokenBucket(messagesAtOnce, messagesPerSecond);
  const attaches = new TokenBucket(attachesAtOnce, attachesPerSecond);

  let unacknowledgedFrames = 0;
  let unansweredPings = 0;

  const refuse = (error: LabError): void => {
    if (socket.readyState !== socket.OPEN) return;
    log.warn({ err: error }, 'socket closed');
    socket.send(JSON.stringify({ type: 'error', error: error.toWire() } satisfies ServerMessage));
    socket.close(closeCodeOf[error.code] ?? closeCodes.badMessage, error.code);
  };
  const allow = (bucket: TokenBucket, what: string, count = 1): void => {
    if (!bucket.take(count)) throw new LabError('overloaded', `The page sends too ${what}.`);
  };
  const ping = (payload?: Buffer): void => {
    if (socket.readyState !== socket.OPEN) return;
    unansweredPings += 1;
    socket.ping(payload);
  };
  const guard = (handle: () => void): void => {
    if (socket.readyState !== socket.OPEN) return;
    try {
      handle();
    } catch (error) {
      refuse(LabError.from(error, 'A message could not be handled'));
    }
  };

  const pump = new Pump({
    send: (data) => {
      if (socket.readyState !== socket.OPEN) return;
      if (socket.bufferedAmount > maxUnsentBytes) {
        refuse(new LabError('overloaded', 'The page does not take what it is sent.'));
        return;
      }
      if (typeof data !== 'string') unacknowledgedFrames += 1;
      socket.send(data);
    },
    ping: (payload) => {
      ping(payload);
    },
    cork: () => {
      stream.cork();
    },
    uncork: () => {
      stream.uncork();
    },
  });

  const client: Client = {
    role,
    send: (message) => {
      pump.send(message);
    },
    show: (terminal, open, onEnd) => {
      const acks = new InputAcks((offset) => {
        client.send({ type: 'input-ack', terminal, offset });
      });
      const attachment = open({
        get window() {
          return pump.window;
        },
        wake: () => {
          pump.wake();
        },
        inputGiven: (offset) => {
          acks.given(offset);
        },
        end: () => {
          pump.remove(attachment);
          onEnd();
        },
      });
      pump.add(attachment);
      return attachment;
    },
    hide: (attachment) => {
      pump.remove(attachment);
    },
  };

  let inbox: Inbox;
  try {
    inbox = connect(client);
  } catch (error) {
    socket.close(closeCodes.badMessage, LabError.from(error, 'Not connected').code);
    return;
  }

  let answered = true;
  const pings = setInterval(() => {
    if (!answered) socket.terminate();
    answered = false;
    ping();
  }, pingIntervalMs);

  socket.on('pong', (payload) => {
    guard(() => {
      answered = true;
      if (unansweredPings > 0) unansweredPings -= 1;
      else allow(messages, 'many frames');
      pump.answered(payload);
    });
  });
  // Not by ws itself, which would answer a page that takes no answers.
  socket.on('ping', (payload) => {
    guard(() => {
      allow(messages, 'many frames');
      if (socket.bufferedAmount <= maxUnsentBytes) socket.pong(payload);
    });
  });
  socket.on('message', (data, isBinary) => {
    guard(() => {
      const received = asBytes(data);
      allow(bytes, 'many bytes', received.length);
      if (isBinary) {
        allow(frames, 'many frames');
        if (role === 'viewer') throw new LabError('forbidden', 'Who looks on may not type.');
        const frame = decodeFrame(received);
        if (frame.kind !== 'input') throw new LabError('bad-message', 'A page may only send input frames.');
        inbox.input(frame.channel, frame.offset, frame.bytes);
        return;
      }
      if (received.length > maxMessageBytes) throw new LabError('bad-message', 'A message is too long.');
      const message = parseMessage(clientMessageSchema, received.toString());
      if (message.type === 'ack' && unacknowledgedFrames > 0) unacknowledgedFrames -= 1;
      else allow(messages, 'many messages');
      if (role === 'viewer' && !viewersMessages.includes(message.type)) {
        throw new LabError('forbidden', 'Who looks on may only look.');
      }
      if (message.type === 'attach') allow(attaches, 'often for a screen');
      if (message.type === 'ping') client.send({ type: 'pong' });
      else inbox.receive(message);
    });
  });
  socket.on('error', (error) => {
    log.warn({ err: error }, 'socket error');
  });
  socket.on('close', () => {
    clearInterval(pings);
    pump.close();
    inbox.close();
  });
}

/** Told to the page after so much, or this long. */
const inputAckBytes = 16 * 1024;
const inputAckMs = 50;

/** Tells a page what of its input has been typed: at once, and then not too often. */
class InputAcks {
  private offset = 0;
  private told = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly tell: (offset: number) => void) {}

  given(offset: number): void {
    this.offset = offset;
    if (this.timer && offset - this.told < inputAckBytes) return;
    clearTimeout(this.timer);
    this.told = offset;
    this.tell(offset);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.offset > this.told) this.given(this.offset);
    }, inputAckMs);
  }
}

function asBytes(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
