// The wasm-bindgen module, as far as it is used here. The build finds it under target/web/pkg.

declare module "datasync-wasm" {
  import type { RawMedium } from "./engine.ts";

  export default function init(options: { module_or_path: WebAssembly.Module }): Promise<unknown>;
  export class Medium implements RawMedium {
    static opfs(name: string, mode: "create" | "existing" | "readOnly"): Promise<Medium>;
    static indexeddb(
      name: string, options: string, reader?: (first: number, count: number) => (Uint8Array | undefined)[],
    ): Promise<Medium>;
    static memory(name: string): Medium;
    start(options: string): import("./engine.ts").RawSession;
    owned(): Promise<void>;
  }
  export class StoreImport {
    static begin(backend: string, name: string): Promise<StoreImport>;
    file(name: string): Promise<void>;
    write(bytes: Uint8Array): void | Promise<void>;
    finish(): Promise<void>;
    cancel(): Promise<void>;
  }
  export function lastPanic(): string | undefined;
}
