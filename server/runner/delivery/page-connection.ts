/**
 * One page's WebSocket: frames and messages in and out, and the limits of both. What a page sends that is malformed, too much or
 * out of order closes its socket with a code and harms nothing else.
 */
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { RawData, WebSocket } from 'ws';
import { LabError, type ErrorCode } from '../../protocol/errors';
import { decodeFrame } from '../../protocol/frames';
import {
  clientMessageSchema,
  closeCodes,
  parseMessage,
  type ClientMessage,
  type ServerMessage,
} from '../../protocol/messages';
import type { Role } from '../../protocol/session';
import type { Attachment, AttachedPage } from '../terminal/attachment';
import { InputAcks } from './input-acks';
import { PageLimits } from './page-limits';
import { Pump } from './pump';

/** Bytes of unsent messages. Terminal output never reaches this: its window is smaller. */
const maxUnsentBytes = 4 * 1024 * 1024;
/** A page that answers no ping for this long is gone: its laptop sleeps, or its network has failed. */
const pingIntervalMs = 15_000;

/** Handles what a page sends. */
export interface PageHandler {
  /** @throws LabError `bad-message`, `overloaded` */
  receive(message: ClientMessage): void;
  /** @throws LabError `bad-message`, `overloaded` */
  input(channel: number, offset: number, bytes: Uint8Array): void;
  /** The page's socket is closed. */
  close(): void;
}

const closeCodeOf: Partial<Record<ErrorCode, number>> = {
  forbidden: closeCodes.forbidden,
  overloaded: closeCodes.overloaded,
};

export class PageConnection {
  readonly #socket: WebSocket;
  readonly #log: Logger;
  readonly #limits: PageLimits;
  readonly #pump: Pump;
  #hasAnswered = true;

  /** @param stream that the socket's frames go through */
  constructor(
    socket: WebSocket,
    stream: Duplex,
    readonly role: Role,
    log: Logger,
  ) {
    this.#socket = socket;
    this.#log = log;
    this.#limits = new PageLimits(role);
    this.#pump = new Pump({
      send: (data) => {
        this.#transmit(data);
      },
      ping: (payload) => {
        this.#ping(payload);
      },
      cork: () => {
        stream.cork();
      },
      uncork: () => {
        stream.uncork();
      },
    });
  }

  /**
   * Serves the page until its socket closes.
   * @param connect makes the page known to the sandbox; when it throws, the socket is closed
   */
  serve(connect: (page: PageConnection) => PageHandler): void {
    let handler: PageHandler;
    try {
      handler = connect(this);
    } catch (thrown) {
      const error = LabError.from(thrown, 'The page was not connected');
      this.#log.warn({ err: error }, 'page refused');
      this.#socket.close(closeCodes.badMessage, error.code);
      return;
    }
    const pings = setInterval(() => {
      if (!this.#hasAnswered) this.#socket.terminate();
      this.#hasAnswered = false;
      this.#ping();
    }, pingIntervalMs);

    this.#socket.on('pong', (payload) => {
      this.#guard(() => {
        this.#hasAnswered = true;
        this.#limits.pong();
        this.#pump.answered(payload);
      });
    });
    // ws itself would also answer a page that takes no answers.
    this.#socket.on('ping', (payload) => {
      this.#guard(() => {
        this.#limits.ping();
        if (this.#socket.bufferedAmount <= maxUnsentBytes) this.#socket.pong(payload);
      });
    });
    this.#socket.on('message', (data, isBinary) => {
      this.#guard(() => {
        this.#receive(handler, asBytes(data), isBinary);
      });
    });
    this.#socket.on('error', (error) => {
      this.#log.warn({ err: error }, 'socket error');
    });
    this.#socket.on('close', () => {
      clearInterval(pings);
      this.#pump.close();
      handler.close();
    });
  }

  /** Sends a message that belongs to no terminal's output. */
  send(message: ServerMessage): void {
    this.#pump.send(message);
  }

  /**
   * Shows an attachment's terminal to the page.
   * @param open makes the attachment, for this page
   * @param onEnd the attachment was ended from elsewhere
   */
  show(terminal: string, open: (page: AttachedPage) => Attachment, onEnd: () => void): Attachment {
    const pump = this.#pump;
    const acks = new InputAcks((offset) => {
      this.send({ type: 'input-ack', terminal, offset });
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
  }

  /** Stops showing it. */
  hide(attachment: Attachment): void {
    this.#pump.remove(attachment);
  }

  #receive(handler: PageHandler, received: Buffer, isBinary: boolean): void {
    this.#limits.bytes(received.length);
    if (isBinary) {
      this.#limits.frame();
      const frame = decodeFrame(received);
      if (frame.kind !== 'input') throw new LabError('bad-message', 'A page may only send input frames.');
      handler.input(frame.channel, frame.offset, frame.bytes);
      return;
    }
    this.#limits.text(received.length);
    const message = parseMessage(clientMessageSchema, received.toString());
    this.#limits.message(message);
    handler.receive(message);
  }

  #transmit(data: string | Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > maxUnsentBytes) {
      this.#refuse(new LabError('overloaded', 'The page does not read what it is sent.'));
      return;
    }
    if (typeof data !== 'string') this.#limits.frameSent();
    this.#socket.send(data);
  }

  #ping(payload?: Buffer): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#limits.pingSent();
    this.#socket.ping(payload);
  }

  /** Does what a page has asked for; an error closes the page's socket. */
  #guard(handle: () => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    try {
      handle();
    } catch (error) {
      this.#refuse(LabError.from(error, 'A message could not be handled'));
    }
  }

  #refuse(error: LabError): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#log.warn({ err: error }, 'socket closed');
    this.#socket.send(JSON.stringify({ type: 'error', error: error.toWire() } satisfies ServerMessage));
    this.#socket.close(closeCodeOf[error.code] ?? closeCodes.badMessage, error.code);
  }
}

function asBytes(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}
