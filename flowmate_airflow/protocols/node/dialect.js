'use strict';

// Our messages and a component's: `data` here, `body` or `data` there.

const { Failure, isObject } = require('./failures');

const ENVELOPE = ['data', 'body', 'metadata', 'attachments', 'passthrough', 'headers', 'id', 'passedCfg'];
const HTTP_PARTS = ['method', 'headers', 'query', 'params', 'url', 'originalUrl', 'pathSuffix'];

function has(object, key) {
  return Object.prototype.hasOwnProperty.call(object, key);
}

// Earlier steps may be of the other dialect, so what they left in the passthrough has both names.
function withBothNames(passthrough) {
  Object.keys(passthrough).forEach((step) => {
    const entry = passthrough[step];
    if (!isObject(entry) || Array.isArray(entry)) {
      return;
    }
    if (has(entry, 'data') && !has(entry, 'body')) {
      entry.body = entry.data;
    } else if (has(entry, 'body') && !has(entry, 'data')) {
      entry.data = entry.body;
    }
  });
  return passthrough;
}

function parts(message) {
  return {
    attachments: message.attachments || {},
    data: message.data === undefined ? {} : message.data,
    metadata: message.metadata || {},
    passthrough: withBothNames(message.passthrough || {}),
  };
}

// Components outlive the name that their SDK uses, so the other one answers too, without being seen in a copy.
function hide(given, name, value) {
  Object.defineProperty(given, name, { value, enumerable: false, writable: true, configurable: true });
}

/** Return what holds the parts of a webhook's request: the message itself, or what the host tells of the webhook. */
function requestOf(message, metadata) {
  return !has(message, 'method') && isObject(metadata.webhook) ? metadata.webhook : message;
}

/** Return one of our messages (fresh, it is changed) as a component of a dialect gets it. */
function toComponent(message, dialect) {
  const given = parts(message);
  const { data } = given;
  const request = requestOf(message, given.metadata);
  if (dialect === 'sailor') {
    delete given.data;
    given.id = message.id;
    given.body = data;
    given.headers = message.headers || given.metadata.headers || {};
    hide(given, 'data', data);
  } else if (dialect === 'ferryman') {
    hide(given, 'body', data);
  } else {
    given.body = data;
  }
  HTTP_PARTS.filter((key) => has(request, key)).forEach((key) => {
    given[key] = request[key];
  });
  return given;
}

function dataOf(emitted, input) {
  if (emitted === input.message && emitted.data === input.data) {
    return emitted.body; // its own input with both names, of which only one was replaced
  }
  return emitted.data === undefined ? emitted.body : emitted.data;
}

function metadataOf(emitted, dialect) {
  const metadata = isObject(emitted.metadata) ? emitted.metadata : {};
  const carries = dialect === 'sailor' && isObject(emitted.headers) && Object.keys(emitted.headers).length > 0;
  return carries ? Object.assign({}, metadata, { headers: emitted.headers }) : metadata;
}

/**
 * Return what a component emitted or returned as one of our messages.
 *
 * `input` is what the component was called with: the `message` and its `data` as it was; `warn` is told about an
 * emitted object that is no message.
 */
function fromComponent(emitted, dialect, input, warn) {
  if (!isObject(emitted)) {
    const what = emitted === undefined ? 'nothing' : `a ${emitted === null ? 'null' : typeof emitted}`;
    throw new Failure(`it gave ${what} as its data; a message is an object such as {data: …} or {body: …}`);
  }
  if (Array.isArray(emitted) || !ENVELOPE.some((key) => emitted[key] !== undefined)) {
    warn('It gave data outside of a message ({data: …} or {body: …}); the whole of it is taken as the data.');
    return { data: emitted };
  }
  const data = dataOf(emitted, input);
  const message = { data: data === undefined ? {} : data, metadata: metadataOf(emitted, dialect) };
  ['attachments', 'passthrough'].forEach((part) => {
    if (isObject(emitted[part])) {
      message[part] = emitted[part];
    }
  });
  return message;
}

module.exports = { toComponent, fromComponent };
