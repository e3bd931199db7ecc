async function processTrigger(msg, cfg) {
  console.log('the configuration:', cfg);
  console.log(JSON.stringify(cfg));
  process.stderr.write(`passphrase=${cfg.passphrase}\n`);
  process.stdout.write(`in a URL: https://ann:${encodeURIComponent(cfg.passphrase)}@host/\n`);
  this.logger.warn({ cfg }, 'all of it');
  await this.emit('data', { data: { user: cfg.username } });
  throw new Error(`refused for ${cfg.passphrase}`);
}

module.exports = { process: processTrigger };
