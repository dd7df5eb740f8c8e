package rollup

import (
	"strconv"
	"strings"

	"github.com/flowgraf/flowgraf/plugins/flow"
)

// The protocols whose ports tell the service.
const (
	protoTCP  = 6
	protoUDP  = 17
	protoDCCP = 33
	protoSCTP = 132
)

// serviceNames are the ports of services, under the names that IANA has for them or that
// people know better: a port, or several, behind each. A port before "/tcp" or "/udp" is
// of that protocol alone.
const serviceNames = `
afp 548|amqp 5672|amqps 5671|bfd 3784|bgp 179|bitcoin 8333|bittorrent 6881|bootpc 68|bootps 67|
cassandra 9042|chargen 19|consul 8300|daytime 13|dhcpv6-client 546|dhcpv6-server 547|discard 9|docker 2375|
docker-tls 2376|domain 53|domain-tls 853|echo 7|elasticsearch 9200|epmap 135|epmd 4369|etcd 2379 2380|exec 512/tcp|
finger 79|ftp 21|ftp-data 20|ftps 990|ftps-data 989|geneve 6081|git 9418|gopher 70|gtp-control 2123|gtp-user 2152|
hsrp 1985|http 80|http-alt 8008 8080|http-rpc-epmap 593|https 443|https-alt 8443|ident 113|imap 143|imaps 993|
influxdb 8086|ipfix 4739|ipmi 623|ipp 631|ipsec-nat-t 4500|irc 194 6667|isakmp 500|iscsi 3260|iso-tsap 102|kafka 9092|
kerberos 88|kerberos-adm 749|klogin 543/tcp|kpasswd 464|kshell 544/tcp|kubernetes 6443|l2tp 1701|ldap 389|ldaps 636|
ldp 646|llmnr 5355|login 513/tcp|mdns 5353|memcache 11211|microsoft-ds 445|modbus 502|mongodb 27017|mqtt 1883|
mqtts 8883|ms-sql-m 1434|ms-sql-s 1433|msft-gc 3268|msft-gc-ssl 3269|mysql 3306|nats 4222|ncp 524|netbios-dgm 138|
netbios-ns 137|netbios-ssn 139|netconf-ssh 830|netflow 2055|nfs 2049|nntp 119|nntps 563|ntp 123|openflow 6653|
openvpn 1194|oracle 1521|pdl-datastream 9100|pop3 110|pop3s 995|postgresql 5432|pptp 1723|printer 515/tcp|ptp 319 320|
qotd 17|radius 1645 1812|radius-acct 1646 1813|rdp 3389|redis 6379|rfb 5900|rip 520/udp|ripng 521/udp|rsync 873|
rtmp 1935|rtp 5004|rtsp 554|sflow 6343|shell 514/tcp|sip 5060|sips 5061|slp 427|smtp 25|snmp 161|snmptrap 162|
socks 1080|squid 3128|ssdp 1900|ssh 22|stun 3478|stuns 5349|submission 587|submissions 465|sunrpc 111|
syslog 514/udp|syslog-tls 6514|tacacs 49|teamviewer 5938|telnet 23|telnets 992|tftp 69|time 37|traceroute 33434/udp|
vmotion 8000/tcp|vmware-authd 902|vsan 2233|vxlan 4789|whois 43|winrm 5985|winrm-tls 5986|wireguard 51820/udp|
x11 6000|xdmcp 177|xmpp-client 5222|xmpp-server 5269|zabbix-agent 10050|zabbix-trapper 10051`

// services knows ports. The word of a service in a key is the number of its name, else
// portBit, the protocol and the port, else the protocol alone behind protoBit.
type services struct {
	names    []string
	tcp, udp [1 << 16]uint8 // numbers of names, plus one
}

const (
	portBit  = 1 << 32
	protoBit = 1 << 33
)

// newServices returns the table.
func newServices() *services {
	s := &services{}
	for entry := range strings.SplitSeq(serviceNames, "|") {
		words := strings.Fields(entry)
		s.names = append(s.names, words[0])
		number := uint8(len(s.names))
		for _, word := range words[1:] {
			digits, network, _ := strings.Cut(word, "/")
			port, err := strconv.ParseUint(digits, 10, 16)
			if err != nil {
				panic("rollup: " + entry)
			}
			if network != "udp" {
				s.tcp[port] = number
			}
			if network != "tcp" {
				s.udp[port] = number
			}
		}
	}
	return s
}

// of returns the word of a flow's service: of its ports the one that is known, of two the
// lower.
func (s *services) of(r *flow.Record) uint64 {
	var known *[1 << 16]uint8
	switch r.Proto {
	case protoTCP, protoSCTP, protoDCCP:
		known = &s.tcp
	case protoUDP:
		known = &s.udp
	default:
		return protoBit | uint64(r.Proto)
	}
	low, high := r.SrcPort, r.DstPort
	if low > high {
		low, high = high, low
	}
	if n := known[low]; n != 0 {
		return uint64(n)
	}
	if n := known[high]; n != 0 {
		return uint64(n)
	}
	return portBit | uint64(r.Proto)<<16 | uint64(low)
}

// name returns the name of a word: "https", "tcp/40000" or "gre".
func (s *services) name(set *Set, w uint64) string {
	switch {
	case w&protoBit != 0:
		return set.number(flow.Proto, w&0xff)
	case w&portBit != 0:
		return set.number(flow.Proto, w>>16&0xff) + "/" + strconv.FormatUint(w&0xffff, 10)
	}
	return s.names[w-1]
}
