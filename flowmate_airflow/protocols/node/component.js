'use strict';

// The component in the image: its component.json, its functions and the modules behind them.

const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');
const { Failure, describe, isObject } = require('./failures');
const { jsonPlace } = require('./jsonplace');
const { hint } = require('./near');

// What require() says of an ECMAScript module that only import() can load.
const IMPORT_ONLY = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'];
const DESCRIPTOR = 'component.json';
const JAVA_CLASS = /^[a-z_]\w*(\.\w+)+$/;

/** Return the folder of component.json: the work folder or a folder in it that the image's environment names. */
function componentFolder() {
  const sub = process.env.ELASTICIO_COMPONENT_PATH || process.env.COMPONENT_PATH || '';
  const inside = path.join(process.cwd(), sub);
  return path.isAbsolute(sub) && !fs.existsSync(inside) && fs.existsSync(sub) ? sub : inside;
}

/** Return the value in a JSON file; a Failure names the file and the place where it is not JSON. */
function readJson(file, label) {
  let text;
  try {
    text = fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    const reason = error.code === 'ENOENT' ? 'there is no such file in the image' : error.message;
    throw new Failure(`cannot read ${label}${label === DESCRIPTOR ? ` (${file})` : ''}: ${reason}`, 'config');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const place = jsonPlace(text);
    const where = place ? `${label}:${place.line}:${place.column}: ${place.reason}` : `${label}: ${error.message}`;
    throw new Failure(`not valid JSON: ${where}`, 'config');
  }
}

/** Return the place in a component's own code where an error was thrown, or ''. */
function placeOf(error, folder) {
  const stack = isObject(error) && typeof error.stack === 'string' ? error.stack : '';
  const lines = stack.split('\n').filter((line) => line.includes(folder));
  const own = lines.find((line) => !line.includes('node_modules')) || lines[0];
  const match = own && /(\/[^()\n]*?:\d+)(:\d+)?\)?$/.exec(own.trim());
  return match ? path.relative(folder, match[1]) : '';
}

class Component {
  constructor(folder) {
    this.folder = folder;
    this.json = readJson(path.join(folder, DESCRIPTOR), DESCRIPTOR);
    if (!isObject(this.json) || Array.isArray(this.json)) {
      throw new Failure('component.json must be an object with the keys `triggers` and `actions`', 'config');
    }
  }

  group(name) {
    const group = this.json[name];
    return isObject(group) && !Array.isArray(group) ? group : {};
  }

  /** Return the names of all functions, triggers first. */
  names() {
    return Object.keys(this.group('triggers')).concat(Object.keys(this.group('actions')));
  }

  /** Return `{name, kind, definition}` of a function. */
  find(name) {
    for (const kind of ['trigger', 'action']) {
      const group = this.group(`${kind}s`);
      if (Object.prototype.hasOwnProperty.call(group, name) && isObject(group[name])) {
        return { name, kind, definition: group[name] };
      }
    }
    throw new Failure(`the component has no trigger or action ${name}; ${hint(name, this.names())}`, 'config');
  }

  /** Return the module of a function. */
  async load(found) {
    const { main } = found.definition;
    if (typeof main !== 'string' || main === '') {
      const what = `${found.kind} ${found.name}`;
      throw new Failure(`component.json names no file for ${what}: its key \`main\` is missing`, 'config');
    }
    return this.loadFile(main, `${found.kind} ${found.name}`);
  }

  /** Return the module in a file of the component. */
  async loadFile(main, label) {
    const file = path.join(this.folder, main);
    try {
      return require(file);
    } catch (error) {
      if (isObject(error) && IMPORT_ONLY.includes(error.code)) {
        return this.importFile(file, main, label);
      }
      throw this.loadFailure(error, file, main, label);
    }
  }

  async importFile(file, main, label) {
    try {
      return await require('./esm')(pathToFileURL(require.resolve(file)).href);
    } catch (error) {
      throw this.loadFailure(error, file, main, label);
    }
  }

  loadFailure(error, file, main, label) {
    const start = `cannot load ${label}: `;
    if (isObject(error) && /^(ERR_)?MODULE_NOT_FOUND$/.test(error.code)) {
      return new Failure(start + this.missing(error, file, main), 'config');
    }
    if (error instanceof SyntaxError) {
      const first = String(error.stack).split('\n')[0];
      const told = /^(\/.*|file:\/\/.*):\d+$/.test(first);
      const place = told ? path.relative(this.folder, first.replace('file://', '')) : main;
      return new Failure(`${start}${place}: SyntaxError: ${error.message} (read by Node ${process.version})`, 'config');
    }
    const place = placeOf(error, this.folder);
    const where = place ? `, at ${place}` : '';
    return new Failure(`${start}${main} fails while it loads${where}: ${describe(error)}`, 'config');
  }

  missing(error, file, main) {
    const match = /Cannot find (?:module|package) '([^']*)'/.exec(error.message);
    const name = match ? match[1] : String(error.message).split('\n')[0];
    if (name === file) {
      const java = JAVA_CLASS.test(main) ? ' (a Java class, it seems; only JavaScript components run here)' : '';
      return `its file ${main} is not in the image${java}`;
    }
    // Before Node 12 only the stack tells who asked.
    const from = Array.isArray(error.requireStack) && error.requireStack.length
      ? path.relative(this.folder, error.requireStack[0]) : placeOf(error, this.folder) || main;
    const what = /^[./]/.test(name) ? 'file' : 'module';
    return `the ${what} '${name}', which ${from} requires, is not in the image`;
  }
}

/** Return the export of a module, of CommonJS or of an ECMAScript module's default, or undefined. */
function exported(module, name) {
  for (const holder of [module, isObject(module) || typeof module === 'function' ? module.default : null]) {
    if (holder && holder[name] !== undefined) {
      return holder[name];
    }
  }
  return undefined;
}

module.exports = { Component, componentFolder, exported, readJson, placeOf };
