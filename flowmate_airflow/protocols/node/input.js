'use strict';

// Lines in, read only when one is asked for: between two of them nothing of ours keeps the event loop alive.

const fs = require('fs');

const CHUNK_BYTES = 256 * 1024;
const RETRY_MS = 10;
const NEWLINE = 10;

function readChunk(fd) {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  return new Promise((resolve, reject) => {
    const read = () => {
      fs.read(fd, buffer, 0, CHUNK_BYTES, null, (error, count) => {
        if (error && error.code === 'EAGAIN') {
          setTimeout(read, RETRY_MS); // stdin is a pipe that somebody made non-blocking
        } else if (error && error.code !== 'EOF') {
          reject(error);
        } else {
          resolve(error ? buffer.slice(0, 0) : buffer.slice(0, count));
        }
      });
    };
    read();
  });
}

class Lines {
  constructor(fd) {
    this.fd = fd;
    this.chunk = Buffer.alloc(0);
    this.ended = false;
  }

  /** Return the next line that is not empty, without its newline, or null at the end. */
  async next() {
    for (;;) {
      const line = await this.read();
      if (line === null || line.trim() !== '') {
        return line;
      }
    }
  }

  async read() {
    const parts = [];
    for (;;) {
      const end = this.chunk.indexOf(NEWLINE);
      if (end >= 0) {
        parts.push(this.chunk.slice(0, end));
        this.chunk = this.chunk.slice(end + 1);
        return Buffer.concat(parts).toString('utf8');
      }
      parts.push(this.chunk);
      this.chunk = this.ended ? Buffer.alloc(0) : await readChunk(this.fd);
      if (this.chunk.length === 0) {
        this.ended = true;
        const rest = Buffer.concat(parts);
        return rest.length ? rest.toString('utf8') : null;
      }
    }
  }
}

module.exports = { Lines };
