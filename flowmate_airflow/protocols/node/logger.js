'use strict';

// `this.logger` of a component: bunyan's methods, and lines that reach the task log at their level.

const util = require('util');
const { clip, isObject } = require('./failures');

const MAX_LOG = 16 * 1024;
const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 };

function levelNumber(level) {
  if (typeof level === 'number') {
    return level;
  }
  return LEVELS[String(level).toLowerCase()] || LEVELS.info;
}

function asText(value) {
  if (value instanceof Error) {
    return value.stack || String(value);
  }
  return isObject(value) ? util.inspect(value, { depth: 4, breakLength: Infinity }) : value;
}

// Fields come first in bunyan: logger.info({id: 1}, 'saved %s', name).
function format(args) {
  if (args.length > 1 && typeof args[0] !== 'string' && typeof args[1] === 'string') {
    return `${util.format.apply(util, args.slice(1))} ${asText(args[0])}`;
  }
  return args.length ? util.format.apply(util, [asText(args[0])].concat(args.slice(1))) : '';
}

class Logger {
  constructor(output, level, fields) {
    this.output = output;
    this.threshold = levelNumber(level);
    this.fields = fields || {};
  }

  /** Return the level's number, or set it. */
  level(value) {
    if (value !== undefined) {
      this.threshold = levelNumber(value);
    }
    return this.threshold;
  }

  child(fields) {
    return new Logger(this.output, this.threshold, Object.assign({}, this.fields, fields));
  }
}

Object.keys(LEVELS).forEach((name) => {
  Logger.prototype[name] = function log() {
    if (arguments.length === 0) {
      return LEVELS[name] >= this.threshold; // bunyan: is this level on?
    }
    if (LEVELS[name] >= this.threshold) {
      this.output.log(name === 'warn' ? 'warning' : name, clip(format(Array.from(arguments)), MAX_LOG));
    }
    return undefined;
  };
});

/** Return the logger of one call. Its methods may be taken out of it. */
function makeLogger(output, level, fields) {
  const logger = new Logger(output, level || process.env.LOG_LEVEL || 'info', fields);
  const bind = (made) => {
    Object.keys(LEVELS).concat('level').forEach((name) => {
      made[name] = Logger.prototype[name].bind(made);
    });
    made.child = (more) => bind(Logger.prototype.child.call(made, more));
    return made;
  };
  return bind(logger);
}

module.exports = { makeLogger };
