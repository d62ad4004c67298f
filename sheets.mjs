import { chromium } from 'playwright-core';
import { readdirSync } from 'node:fs';
const dir='/work/wt/int/test-results/screenshots';
const [,, kind, per, cols, w, h]=process.argv;
const files=readdirSync(dir).filter(f=>f.endsWith(kind+'.png')).sort();
process.env.AWS_LAMBDA_JS_RUNTIME='nodejs20.x';
const { default: ch } = await import('@sparticuz/chromium');
const args=ch.args.filter(a=>!['--single-process','--no-zygote'].includes(a));
const b=await chromium.launch({executablePath:await ch.executablePath(),args,headless:true});
const p=await b.newPage({viewport:{width:Number(w),height:Number(h)}});
const n=Number(per);
for(let i=0;i<files.length;i+=n){
  const part=files.slice(i,i+n);
  const html=`<body style="margin:0;background:#888;font:12px sans-serif;display:grid;grid-template-columns:repeat(${cols},1fr);gap:4px">`+part.map(f=>`<div><div style="background:#ff0">${f.replace(kind+'.png','')}</div><img src="file://${dir}/${f}" style="width:100%;max-height:${Math.floor(Number(h)/(n/cols))-20}px;object-fit:contain;object-position:top left"></div>`).join('');
  const fs=await import('node:fs'); const hf=`/work/wt/tmp/sheets/x.html`; fs.writeFileSync(hf,html);
  await p.goto('file://'+hf); await p.waitForLoadState('load');
  await p.screenshot({path:`/work/wt/tmp/sheets/${kind}-${String(i/n).padStart(2,'0')}.png`});
}
await b.close(); console.log(files.length);
