import json, pathlib, tempfile, os, time, sys
from tests.live.certificate import certify
from tests.live.browser import *
from tests.live.openid import provider, private_jwk
import tests.live.sites as S
d=pathlib.Path(tempfile.mkdtemp()); print(d)
c=certify(d, NAMES)
with provider(d, private_jwk("ES256","one"), certificate=c, people=S.PEOPLE, lean=False) as op:
    for door in sys.argv[1:] or ("wsgi","asgi"):
      with S.site(door, op, d, c) as site, site.visitor() as v, chromium(d,c,scripts=True) as b:
        b.visit(site.url("/inside")); b.sign_in("ada")
        b.visit(site.url("/elsewhere", ELSEWHERE))
        print(b.text)
        t=time.time()
        try: b.follow("Sign out there")
        except Exception as e: print(type(e), time.time()-t)
        try: print(b.url, b.text)
        except Exception as e: print(type(e), time.time()-t)
        print(v.get("/auth/logout", headers={"Sec-Fetch-Site":"cross-site"}))
        print(site.server.log.read_text()[-1500:])
