'use strict';

// Everything that a component prints becomes LOG events, so that it can never be taken for one of ours.

const fs = require('fs');
const util = require('util');
const { Writable } = require('stream');
const { StringDecoder } = require('string_decoder');
const { clip } = require('./failures');

const MAX_LOG = 16 * 1024;
const COLOURS = /\u001b\[[0-9;]*m/g;
const MAX_HELD = 1024 * 1024;
const CONSOLE_LEVELS = { log: 'info', info: 'info', debug: 'debug', trace: 'debug', warn: 'warning', error: 'error' };
const NAMED_LEVELS = {
  trace: 'trace', debug: 'debug', verbose: 'debug', silly: 'debug', http: 'debug', info: 'info', notice: 'info',
  warn: 'warning', warning: 'warning', error: 'error', fatal: 'fatal', critical: 'fatal',
};

function numberedLevel(level) {
  // The numbers of bunyan and pino.
  if (level >= 60) return 'fatal';
  if (level >= 50) return 'error';
  if (level >= 40) return 'warning';
  if (level >= 30) return 'info';
  return level >= 20 ? 'debug' : 'trace';
}

function recordLevel(record) {
  if (typeof record.level === 'number') {
    return numberedLevel(record.level);
  }
  return NAMED_LEVELS[String(record.level).toLowerCase()] || null;
}

// Node's own warnings come by console.error; those about old interfaces are for the component's author alone.
function printedLevel(level, text) {
  const warning = /^\(node:\d+\) (?:\[\w+\] )?(\w*)/.exec(text);
  if (warning === null) {
    return level;
  }
  return warning[1] === 'DeprecationWarning' ? 'debug' : 'warning';
}

/** Return `{level, message}` of a line of bunyan, pino or winston, or null if it is none. */
function parseRecord(line) {
  if (line[0] !== '{') {
    return null;
  }
  let record;
  try {
    record = JSON.parse(line);
  } catch (error) {
    return null;
  }
  const level = recordLevel(record);
  const text = typeof record.msg === 'string' ? record.msg : record.message;
  if (level === null || typeof text !== 'string') {
    return null;
  }
  const error = record.err;
  const stack = error && (error.stack || error.message);
  return { level, message: stack && !text.includes(stack) ? `${text}\n${stack}` : text };
}

class Noise {
  constructor(output) {
    this.output = output;
    this.held = '';
    this.decoder = new StringDecoder('utf8');
  }

  say(level, printed) {
    const text = printed.replace(COLOURS, '');
    if (text.trim() !== '') {
      this.output.log(level, clip(text, MAX_LOG));
    }
  }

  line(text) {
    const record = parseRecord(text);
    this.say(record ? record.level : 'info', record ? record.message : text);
  }

  write(chunk) {
    const text = typeof chunk === 'string' ? chunk : this.decoder.write(Buffer.from(chunk));
    const lines = (this.held + text).split('\n');
    this.held = lines.pop();
    lines.forEach((line) => this.line(line));
    if (this.held.length > MAX_HELD) {
      this.flush();
    }
  }

  /** Send what has been printed without a newline. */
  flush() {
    const rest = this.held;
    this.held = '';
    if (rest) {
      this.line(rest);
    }
  }
}

function fakeStdout(noise) {
  const stream = new Writable({ write: (chunk, encoding, done) => done() });
  stream.fd = 1;
  stream.write = (chunk, encoding, done) => {
    const callback = typeof encoding === 'function' ? encoding : done;
    noise.write(chunk);
    if (typeof callback === 'function') {
      process.nextTick(callback);
    }
    return true;
  };
  stream.end = (chunk, encoding, done) => {
    const callback = [chunk, encoding, done].find((argument) => typeof argument === 'function');
    if (chunk !== undefined && chunk !== null && chunk !== callback) {
      stream.write(chunk);
    }
    if (callback) {
      process.nextTick(callback);
    }
    return stream;
  };
  return stream;
}

function replaceProperty(object, name, value) {
  Object.defineProperty(object, name, { value, configurable: true, enumerable: true, writable: true });
}

function takeConsole(noise, stream) {
  Object.keys(CONSOLE_LEVELS).forEach((name) => {
    console[name] = function print() {
      const text = util.format.apply(util, arguments);
      noise.say(printedLevel(CONSOLE_LEVELS[name], text), text);
    };
  });
  console.dir = (value, options) => noise.say('info', util.inspect(value, options));
  replaceProperty(console, '_stdout', stream); // winston writes to it
}

function part(data, offset, length) {
  if (typeof data === 'string') {
    return data;
  }
  const start = typeof offset === 'number' ? offset : 0;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes.slice(start, typeof length === 'number' ? start + length : undefined);
}

function takeDescriptor(noise) {
  // pino and others write to the file descriptor itself.
  const { write, writeSync } = fs;
  fs.writeSync = function guardedWriteSync(fd, data, offset, length) {
    if (fd !== 1) {
      return writeSync.apply(fs, arguments);
    }
    const piece = part(data, offset, length);
    noise.write(piece);
    return Buffer.byteLength(piece);
  };
  fs.write = function guardedWrite(fd, data, offset, length) {
    if (fd !== 1) {
      return write.apply(fs, arguments);
    }
    const callback = arguments[arguments.length - 1];
    const piece = part(data, offset, length);
    noise.write(piece);
    return process.nextTick(callback, null, Buffer.byteLength(piece), data);
  };
  // By these util.promisify knows what the function's callback gets.
  Object.getOwnPropertySymbols(write).forEach((symbol) => {
    fs.write[symbol] = write[symbol];
  });
}

/** Send to the log whatever this process prints from now on; returns the {@link Noise}. */
function takeOver(output) {
  const noise = new Noise(output);
  const stream = fakeStdout(noise);
  replaceProperty(process, 'stdout', stream);
  takeConsole(noise, stream);
  takeDescriptor(noise);
  return noise;
}

module.exports = { takeOver };
