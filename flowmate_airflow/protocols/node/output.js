'use strict';

// Events out: one line of JSON each, on file descriptor 1, which nothing else may write to.

const fs = require('fs');

const FLUSH_BYTES = 64 * 1024;
const WAIT_MS = 5;

// Taken before anybody can replace it.
const writeSync = fs.writeSync;

function pause() {
  // A full pipe is waited for without letting the component go on: that is its back-pressure.
  if (typeof SharedArrayBuffer === 'undefined' || typeof Atomics === 'undefined') {
    return; // the first releases of Node 8: try again at once
  }
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS);
}

function writeAll(fd, bytes) {
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(fd, bytes, offset, bytes.length - offset);
    } catch (error) {
      if (error.code !== 'EAGAIN') {
        throw error;
      }
      pause();
    }
  }
}

class Output {
  /** `onBroken` is called when nobody reads any more. */
  constructor(fd, onBroken) {
    this.fd = fd;
    this.onBroken = onBroken;
    this.pending = [];
    this.size = 0;
    this.scheduled = false;
    this.broken = false;
  }

  /** Send one event. What it holds is turned into text now: the caller may change it afterwards. */
  send(event) {
    this.sendLine(JSON.stringify(event));
  }

  /** Send an event that is JSON already. */
  sendLine(text) {
    this.pending.push(text, '\n');
    this.size += text.length + 1;
    if (this.size >= FLUSH_BYTES) {
      this.flush();
    } else if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  log(level, message) {
    this.send({ type: 'LOG', level, message });
  }

  /** Write everything that is waiting. */
  flush() {
    if (this.size === 0 || this.broken) {
      return;
    }
    const bytes = Buffer.from(this.pending.join(''), 'utf8');
    this.pending = [];
    this.size = 0;
    try {
      writeAll(this.fd, bytes);
    } catch (error) {
      this.broken = true;
      this.onBroken();
    }
  }
}

module.exports = { Output };
