/** Draws a terminal with WebGL where there is a graphics card. */
import { WebglAddon } from '@xterm/addon-webgl';
import type { Terminal } from '@xterm/xterm';

/** Names of drivers that draw without a graphics card: of Chromium, of Mesa, of Windows. */
const softwareDriver = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/**
 * A software renderer is slower through WebGL than the DOM: in Chromium with SwiftShader, the page parsed a flood five times slower.
 * Chromium uses it even if a page asks for no software renderer, so this checks its name too.
 */
function hasFastWebgl(): boolean {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('webgl2', { failIfMajorPerformanceCaveat: true });
  if (context === null) return false;
  const info = context.getExtension('WEBGL_debug_renderer_info');
  const driver: unknown = info === null ? '' : context.getParameter(info.UNMASKED_RENDERER_WEBGL);
  context.getExtension('WEBGL_lose_context')?.loseContext();
  return !softwareDriver.test(String(driver));
}

/** Determined once for the page. */
let isFast: boolean | undefined;

/** One terminal's renderer. Without WebGL, xterm draws with the DOM. */
export class WebglRenderer {
  readonly #terminal: Terminal;
  readonly #element: HTMLElement;
  #addon: WebglAddon | undefined;

  /** @param element says which renderer is used, as `data-renderer` */
  constructor(terminal: Terminal, element: HTMLElement) {
    this.#terminal = terminal;
    this.#element = element;
  }

  /** Uses WebGL if it is fast here. */
  start(): void {
    isFast ??= hasFastWebgl();
    if (isFast && this.#addon === undefined) {
      try {
        const addon = new WebglAddon();
        addon.onContextLoss(() => {
          addon.dispose();
          this.#addon = undefined;
          this.#tell();
        });
        this.#terminal.loadAddon(addon);
        this.#addon = addon;
      } catch {
        isFast = false;
      }
    }
    this.#tell();
  }

  /** Frees the graphics card's memory while the terminal is hidden. */
  stop(): void {
    this.#addon?.dispose();
    this.#addon = undefined;
  }

  #tell(): void {
    this.#element.dataset['renderer'] = this.#addon === undefined ? 'dom' : 'webgl';
  }
}
