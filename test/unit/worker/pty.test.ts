import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openPty } from '../../../src/worker/sys/pty.js';

describe('pseudo terminal', () => {
  /** Runs a shell with job control on a terminal, types into it when it says ready, and gives what it shows. */
  async function converse(script: string, typed: string): Promise<string> {
    using pty = openPty({ columns: 91, rows: 23 });
    const end = pty.programEnd;
    const shell = spawn('setsid', ['--ctty', 'sh', '-c', script], { stdio: [end, end, end] });
    pty.closeProgramEnd();
    let shown = '';
    pty.stream.on('data', (data: Buffer) => {
      if (!shown.includes('ready') && `${shown}${data.toString('utf8')}`.includes('ready'))
        pty.stream.write(typed);
      shown += data.toString('utf8');
    });
    await Promise.all([once(shell, 'exit'), pty.ended]);
    return shown.replaceAll('\r', '');
  }

  it('has the size that was asked for, echoes what is typed, and ends with its programs', async () => {
    expect(await converse('stty size; echo ready; read -r word; echo "<$word>"', 'hello\n')).to.match(
      /^(?=[\s\S]*23 91\n)(?=[\s\S]*hello\n)[\s\S]*<hello>\n$/,
    );
  });

  it('is the controlling terminal: Ctrl-C interrupts', async () => {
    const script = 'trap "echo caught; exit 0" INT; sleep 5 & echo ready > /dev/tty; wait';
    expect(await converse(script, '\x03')).to.contain('caught');
  });
});
