const call = require('./http');

async function processTrigger(msg, cfg) {
  const { token } = await call({ server: cfg.server }, 'POST', '/token', { token: cfg.accessToken });
  this.emit('updateKeys', { accessToken: token });
  console.log('the token is now', token);
  if (cfg.fail) {
    throw new Error('it went wrong after the token was changed');
  }
  await this.emit('data', { data: { changed: true } });
  await this.emit('end');
}

module.exports = { process: processTrigger };
